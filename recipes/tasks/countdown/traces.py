"""Synthetic completions that a base model is pre-trained on.

A trace thinks in operations and answers with an expression. On the way, ` : ` descends into the state that an
operation leaves, every operation that leaves a single number is followed by `no` or `yes`, and `back` returns to the
parent state:

    <think> 12 - 9 = 3 : 7 - 3 = 4 no 3 + 7 = 10 no back 7 + 12 = 19 : 19 + 9 = 28 yes </think>
    <answer> ( 7 + 12 ) + 9 </answer>

With four numbers the same grammar nests one level deeper. Every operation and every check in a trace is true; only the
answer may be wrong, and then its check said `no`.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

from doubleback.recipes.pretrain import traces
from doubleback.recipes.pretrain.traces import DEFAULT_BUDGET, Pieces, TraceType, Tried
from doubleback.rewards.builtin.countdown import OPERATORS, apply_operator, reachable_targets
from doubleback.rewards.types import Problem

SHORT_PERSISTENCE = 0.5
"""Chance that a short search tries another operation in a state before it goes back."""


@dataclass(frozen=True, slots=True)
class Term:
    """A number of a state, and how it was made."""

    value: int
    expression: str
    """For example "12" or "7 + 12"."""

    def __str__(self) -> str:
        return self.expression if self.expression.isdigit() else f"( {self.expression} )"


State = tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """One operation in a state, and the state it leaves."""

    text: str
    """For example "12 - 9 = 3"."""
    state: State


def _state_of(problem: Problem) -> State:
    return tuple(Term(number, str(number)) for number in problem.columns["numbers"])


def can_reach(state: State, target: int) -> bool:
    """Whether some sequence of legal operations turns the state into the target."""
    return target in reachable_targets(tuple(sorted(term.value for term in state)))


def moves(state: State) -> list[Move]:
    """Every legal operation of a state, the same for equal numbers once, none that leaves a state without operations.

    Operands stand larger first for a difference, else in the order of the state: one spelling an operation.
    """
    unique: dict[tuple[int, str, int], Move] = {}
    for (i, j), operator in product(combinations(range(len(state)), 2), OPERATORS):
        left, right = state[i], state[j]
        if operator == "-" and left.value < right.value:
            left, right = right, left
        result = apply_operator(left.value, operator, right.value)
        rest = tuple(term for k, term in enumerate(state) if k not in (i, j))
        if result is None or not reachable_targets(tuple(sorted([result, *(term.value for term in rest)]))):
            continue
        text = f"{left.value} {operator} {right.value} = {result}"
        name = (max(left.value, right.value), operator, min(left.value, right.value))
        unique.setdefault(name, Move(text, (Term(result, f"{left} {operator} {right}"), *rest)))
    return list(unique.values())


def search(problem: Problem, kind: TraceType, rng: random.Random) -> Pieces:
    """The pieces of a search of this kind."""
    state, target = _state_of(problem), problem.columns["target"]
    match kind:
        case TraceType.OPTIMAL:
            return _right_path(state, target, rng)
        case TraceType.SHORT:
            return _walk(state, target, SHORT_PERSISTENCE, rng)
        case TraceType.GUESS | TraceType.DEPTH_FIRST:
            return _walk(state, target, 1.0, rng)


def _walk(
    state: State, target: int, persistence: float, rng: random.Random, depth: int = 0
) -> Iterator[tuple[str, Tried | None]]:
    """Pieces of a depth-first search in random order. Does not stop at `yes`.

    `persistence` is the chance to try another operation in a state, rather than go back, after one that failed.
    """
    options = moves(state)
    for num_tried, move in enumerate(rng.sample(options, len(options))):
        if num_tried and depth and rng.random() >= persistence:
            return
        if len(move.state) == 1:
            yield _checked(move, target)
        else:
            yield f"{move.text} :", None
            yield from _walk(move.state, target, persistence, rng, depth + 1)
            yield "back", None


def _right_path(state: State, target: int, rng: random.Random) -> Iterator[tuple[str, Tried | None]]:
    """Pieces of a path that reaches the target, each operation drawn from those that still can."""
    while len(state) > 1:
        move = rng.choice([move for move in moves(state) if can_reach(move.state, target)])
        state = move.state
        yield _checked(move, target) if len(state) == 1 else (f"{move.text} :", None)


def _checked(move: Move, target: int) -> tuple[str, Tried]:
    """A last operation with its check, and the expression that it answers with."""
    (term,) = move.state
    is_right = term.value == target
    return f"{move.text} {'yes' if is_right else 'no'}", Tried(term.expression, is_right)


def make_trace(problem: Problem, kind: TraceType, rng: random.Random, budget: int = DEFAULT_BUDGET) -> str:
    """One completion of this kind, without its end-of-sequence token, which the budget counts."""
    return traces.make_trace(search, problem, kind, rng, budget)
