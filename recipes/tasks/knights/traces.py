"""Searches among knights and knaves, for synthetic completions.

Everything in a trace is true, in the words that `eval.measures.deduction` replays; only the answer may be wrong, and
then a check said `no`:

    <think> if A-knight A: B-knave B: no back if A-knave A: B-knight A: yes B: yes </think>
    <answer> A-knave B-knight </answer>

After `back` the assumptions that stay are made again, so that a branch says all that it stands on.
"""

import random
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import product

from doubleback.recipes.pretrain import traces
from doubleback.recipes.pretrain.traces import DEFAULT_BUDGET, Pieces, TraceType, Tried
from doubleback.recipes.tasks.knights.problems import facts
from doubleback.rewards.builtin.knights import NAMES, Worlds, described, fitting, solutions, where, worlds
from doubleback.rewards.types import Problem

SHORT_PERSISTENCE = 0.5
"""Chance that a short search assumes the other kind of somebody, rather than go back further, after one that failed."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a search goes about it."""

    derives: bool
    """Whether it draws every conclusion before it assumes more; else it assumes alone."""
    persistence: float
    """Chance to try the other kind of somebody after one that failed."""
    checks_early: bool = True
    """Whether it looks for a contradiction before everybody is settled."""
    only: Worlds | None = None
    """Assumes nothing but what is so in these worlds."""


@dataclass(frozen=True, slots=True)
class Search:
    """A problem, and how it is searched."""

    fits: tuple[Worlds, ...]
    """For each of the people, the worlds that fit what that one says."""
    style: Style
    rng: random.Random

    @property
    def people(self) -> str:
        """Their names."""
        return NAMES[: len(self.fits)]


def search(problem: Problem, kind: TraceType, rng: random.Random) -> Pieces:
    """The pieces of a search of this kind."""
    statements = problem.columns["statements"]
    styles = {
        TraceType.OPTIMAL: Style(derives=True, persistence=0.0, only=solutions(statements)),
        TraceType.GUESS: Style(derives=False, persistence=0.0, checks_early=False),
        TraceType.SHORT: Style(derives=False, persistence=SHORT_PERSISTENCE),
        TraceType.DEPTH_FIRST: Style(derives=True, persistence=1.0),
    }
    fits = tuple(fitting(place, statement, len(statements)) for place, statement in enumerate(statements))
    return _explore(Search(fits, styles[kind], rng), worlds(len(statements)))


def _explore(search: Search, opened: Worlds, stands: tuple[str, ...] = ()) -> Iterator[tuple[str, Tried | None]]:
    """Pieces of a search below what stands assumed: what follows, then an assumption and, should it fail, its opposite.

    Does not stop where one holds.
    """
    opened = yield from _conclude(search, opened)
    if len(opened) == 1:
        yield from _check(search, opened)
    undecided = [person for person in search.people if len(_may_be(person, opened)) == 2]
    if not undecided:
        return
    person = search.rng.choice(undecided)
    options = _may_be(person, opened if search.style.only is None else search.style.only)
    for num_tried, assumed in enumerate(search.rng.sample(options, len(options))):
        if num_tried and stands and search.rng.random() >= search.style.persistence:
            return
        if num_tried:
            yield " ".join(["back", *(f"if {fact}" for fact in stands)]), None
            opened = reduce(lambda left, fact: where(fact, left), stands, worlds(len(search.people)))
        yield f"if {assumed}", None
        yield from _explore(search, where(assumed, opened), (*stands, assumed))


def _conclude(search: Search, opened: Worlds) -> Generator[tuple[str, Tried | None], None, Worlds]:
    """Pieces of what follows, until nothing does or everybody is settled; returns the worlds that are left open."""
    while steps := _steps(search, opened):
        speaker, derived = search.rng.choice(steps)
        if derived is None:
            yield f"{speaker}: no", Tried(described(search.rng.choice(sorted(opened))), is_right=False)
            return frozenset()
        yield f"{speaker}: {derived}", None
        opened = where(derived, opened)
    return opened


def _steps(search: Search, opened: Worlds) -> list[tuple[str, str | None]]:
    """What may be said next of somebody's statement: a fact that it adds, or None where it fits no open world."""
    if len(opened) == 1 or not search.style.checks_early:
        return []
    left = {speaker: opened & fits for speaker, fits in zip(search.people, search.fits, strict=True)}
    steps: list[tuple[str, str | None]] = [(speaker, None) for speaker in search.people if not left[speaker]]
    undecided = [person for person in search.people if search.style.derives and len(_may_be(person, opened)) == 2]
    for speaker, person in product(search.people, undecided):
        forced = _may_be(person, left[speaker])
        if len(forced) == 1:
            steps.append((speaker, forced[0]))
    return steps


def _check(search: Search, opened: Worlds) -> Iterator[tuple[str, Tried | None]]:
    """What everybody says, held against the one world that is open, as far as it fits."""
    (world,) = opened
    for speaker, fits in zip(search.people, search.fits, strict=True):
        does_fit, is_last = world in fits, speaker == search.people[-1]
        tried = None if does_fit and not is_last else Tried(described(world), is_right=does_fit)
        yield f"{speaker}: {'yes' if does_fit else 'no'}", tried
        if not does_fit:
            return


def _may_be(person: str, opened: Worlds) -> list[str]:
    """What may be so of the person."""
    return [fact for fact in facts(person) if where(fact, opened)]


def make_trace(problem: Problem, kind: TraceType, rng: random.Random, budget: int = DEFAULT_BUDGET) -> str:
    """One completion of this kind, without its end-of-sequence token, which the budget counts."""
    return traces.make_trace(search, problem, kind, rng, budget)
