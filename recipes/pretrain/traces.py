"""Synthetic completions that a base is pre-trained on: how a search is cut, whatever is searched for.

A task brings the pieces of a search of each kind; here they become `<think> ... </think> <answer> ... </answer>`, cut
at the first right try, when patience ends or where the budget does.
"""

import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from doubleback.rewards.types import Problem


class TraceType(StrEnum):
    """How a trace looks for the answer."""

    OPTIMAL = "optimal"
    """A path that is right, and nothing else."""
    GUESS = "guess"
    """One random path, checked honestly, answered whatever the check says."""
    SHORT = "short"
    """A few random tries, ended by the first that is right, else answered with the last."""
    DEPTH_FIRST = "depth_first"
    """Everything that a state allows before `back`, until the answer is found, patience ends or the budget is spent."""


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
SEARCH_DRAWS = 200
"""Depth-first orders that are tried for a search that goes back; some problems are solved down every branch."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What a try came to."""

    answer: str
    is_right: bool


Pieces = Iterable[tuple[str, Tried | None]]
"""Words of a search in their order; with those that end a try, what it came to. Drawn only as far as needed."""
Search = Callable[[Problem, TraceType, random.Random], Pieces]


def make_trace(search: Search, problem: Problem, kind: TraceType, rng: random.Random, budget: int) -> str:
    """One completion of this kind, without its end-of-sequence token, which the budget counts."""
    num_tries = _num_tries(kind, rng)
    return _write(search(problem, kind, rng), num_tries, budget)


def search_trace(
    search: Search, problem: Problem, rng: random.Random, budget: int = DEFAULT_BUDGET, is_right: bool = True
) -> str | None:
    """A depth-first search that goes back, fails once more and then finds the answer, drawn by chance.

    With `is_right=False` the same search is given up before its last try, the one that is right, and answers with the
    try before, to which it had said `no`: the behaviour is the same, the answer is wrong. None where SEARCH_DRAWS draws
    have none that fits the budget.
    """
    for _ in range(SEARCH_DRAWS):
        pieces = list(search(problem, TraceType.DEPTH_FIRST, rng))
        whole = _write(pieces, math.inf, budget)
        num_tries = whole.count(" yes ") + whole.count(" no ")
        failed = _write(pieces, max(num_tries - 1, 1), budget)
        if " yes " in whole and " back " in failed:
            return whole if is_right else failed
    return None


def _num_tries(kind: TraceType, rng: random.Random) -> float:
    match kind:
        case TraceType.OPTIMAL | TraceType.GUESS:
            return 1
        case TraceType.SHORT:
            return rng.randint(*SHORT_TRIES)
        case TraceType.DEPTH_FIRST:
            return rng.randint(*ABANDON_TRIES) if rng.random() < ABANDON_SHARE else math.inf


def _write(pieces: Pieces, num_tries: float, budget: int) -> str:
    """The completion that stops at the first right try, after `num_tries`, or at the last try that fits."""
    thoughts, completion, num_made = "<think>", "", 0
    for text, tried in pieces:
        thoughts += f" {text}"
        if tried is None:
            continue
        candidate = f"{thoughts} </think> <answer> {tried.answer} </answer>"
        if len(candidate.split()) + 1 > budget:
            break
        completion, num_made = candidate, num_made + 1
        if tried.is_right or num_made == num_tries:
            break
    if not completion:
        raise ValueError(f"budget={budget} tokens cannot hold one try")
    return completion


def sample_trace(
    search: Search, problem: Problem, seed: int, draw: int, mix: Mapping[TraceType, float], budget: int
) -> str:
    """The `draw`-th trace of a problem: a function of its arguments alone, its kind drawn from `mix`."""
    rng = random.Random(f"{seed}:{draw}:{problem.id}")
    kind = rng.choices(list(mix), weights=list(mix.values()))[0]
    return make_trace(search, problem, kind, rng, budget)
