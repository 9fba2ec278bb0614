"""Synthetic completions that a base model is pre-trained on.

A trace thinks in operations and answers with an expression. On the way, ` : ` descends into the state that an
operation leaves, every operation that leaves a single number is followed by `no` or `yes`, and `back` returns to the
parent state:

    <think> 12 - 9 = 3 : 7 - 3 = 4 no 3 + 7 = 10 no back 7 + 12 = 19 : 19 + 9 = 28 yes </think>
    <answer> ( 7 + 12 ) + 9 </answer>

With four numbers the same grammar nests one level deeper. Every operation and every check in a trace is true; only the
answer may be wrong, and then its check said `no`.
"""

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations, product

from doubleback.rewards.builtin.countdown import OPERATORS, apply_operator, reachable_targets
from doubleback.rewards.types import Problem


class TraceType(StrEnum):
    """How a trace looks for the target."""

    OPTIMAL = "optimal"
    """A path that is right, and nothing else."""
    GUESS = "guess"
    """One random path, checked honestly, answered whatever the check says."""
    SHORT = "short"
    """A few random tries, ended by the first that is right, else answered with the last."""
    DEPTH_FIRST = "depth_first"
    """Every operation of a state before `back`, until the target is found, patience ends or the budget is spent."""


DEFAULT_MIX: Mapping[TraceType, float] = {
    TraceType.OPTIMAL: 0.05,
    TraceType.GUESS: 0.40,
    TraceType.SHORT: 0.30,
    TraceType.DEPTH_FIRST: 0.25,
}
"""Share of each type. Search is rare enough to leave reinforcement learning something to amplify."""
DEFAULT_BUDGET = 128
"""Completion tokens, end-of-sequence included."""
ABANDON_SHARE = 0.30
"""Share of depth-first traces that lose patience."""
ABANDON_TRIES = (2, 8)
"""Fewest and most tries of one that loses patience."""
SHORT_TRIES = (2, 4)
"""Fewest and most tries of a short search."""
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


def _walk(
    state: State, target: int, persistence: float, rng: random.Random, depth: int = 0
) -> Iterator[tuple[str, Term | None]]:
    """Pieces of a depth-first search in random order; with each check, the term it judged. Does not stop at `yes`.

    `persistence` is the chance to try another operation in a state, rather than go back, after one that failed.
    """
    options = moves(state)
    for num_tried, move in enumerate(rng.sample(options, len(options))):
        if num_tried and depth and rng.random() >= persistence:
            return
        if len(move.state) == 1:
            yield f"{move.text} {'yes' if move.state[0].value == target else 'no'}", move.state[0]
        else:
            yield f"{move.text} :", None
            yield from _walk(move.state, target, persistence, rng, depth + 1)
            yield "back", None


def _right_path(state: State, target: int, rng: random.Random) -> Iterator[tuple[str, Term | None]]:
    """Pieces of a path that reaches the target, each operation drawn from those that still can."""
    while len(state) > 1:
        move = rng.choice([move for move in moves(state) if can_reach(move.state, target)])
        state = move.state
        yield (f"{move.text} yes", state[0]) if len(state) == 1 else (f"{move.text} :", None)


def _write(pieces: Iterator[tuple[str, Term | None]], target: int, num_tries: float, budget: int) -> str:
    """The completion that stops at the first `yes`, after `num_tries` checks, or at the last check that fits."""
    thoughts, completion, num_checks = "<think>", "", 0
    for text, term in pieces:
        thoughts += f" {text}"
        if term is None:
            continue
        candidate = f"{thoughts} </think> <answer> {term.expression} </answer>"
        if len(candidate.split()) + 1 > budget:
            break
        completion, num_checks = candidate, num_checks + 1
        if term.value == target or num_checks == num_tries:
            break
    if not completion:
        raise ValueError(f"budget={budget} tokens cannot hold one try")
    return completion


def make_trace(problem: Problem, kind: TraceType, rng: random.Random, budget: int = DEFAULT_BUDGET) -> str:
    """One completion of this kind, without its end-of-sequence token, which the budget counts."""
    state, target = _state_of(problem), problem.columns["target"]
    match kind:
        case TraceType.OPTIMAL:
            return _write(_right_path(state, target, rng), target, 1, budget)
        case TraceType.GUESS:
            return _write(_walk(state, target, 1.0, rng), target, 1, budget)
        case TraceType.SHORT:
            num_tries: float = rng.randint(*SHORT_TRIES)
            return _write(_walk(state, target, SHORT_PERSISTENCE, rng), target, num_tries, budget)
        case TraceType.DEPTH_FIRST:
            num_tries = rng.randint(*ABANDON_TRIES) if rng.random() < ABANDON_SHARE else math.inf
            return _write(_walk(state, target, 1.0, rng), target, num_tries, budget)


def sample_trace(
    problem: Problem, seed: int, draw: int, mix: Mapping[TraceType, float] = DEFAULT_MIX, budget: int = DEFAULT_BUDGET
) -> str:
    """The `draw`-th trace of a problem: a function of its arguments alone, its kind drawn from `mix`."""
    rng = random.Random(f"{seed}:{draw}:{problem.id}")
    kind = rng.choices(list(mix), weights=list(mix.values()))[0]
    return make_trace(problem, kind, rng, budget)
