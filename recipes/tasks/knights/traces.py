"""Searches among knights and knaves, for synthetic completions.

Everything in a trace is true, in the words that `eval.measures.deduction` replays; only the answer may be wrong, and
then a check said `no`:

    <think> if A-knight A: A-lies and B-lies false no back if A-knave A: A-lies and B-lies so B-knight
    A: A-lies and B-lies false yes B: A-lies true yes </think> <answer> A-knave B-knight </answer>

Whose turn it is repeats what that one said, so that what follows from it is a matter of the words just before. After
`back` the assumptions that stay are made again, so that a branch says all that it stands on.
"""

import random
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import reduce

from doubleback.recipes.pretrain import traces
from doubleback.recipes.pretrain.traces import Pieces, TraceType, Tried
from doubleback.recipes.tasks.knights.problems import facts
from doubleback.rewards.builtin.knights import NAMES, Worlds, described, fitting, solutions, where, where_true, worlds
from doubleback.rewards.types import Problem

BUDGET = 160
"""Completion tokens, end-of-sequence included."""
SHORT_PERSISTENCE = 0.5
"""Chance that a short search assumes the other kind of somebody, rather than go back further, after one that failed."""


IDLE_SHARE = 0.3
"""Chance that somebody is asked in vain before each step that adds something."""


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

    statements: tuple[str, ...]
    fits: tuple[Worlds, ...]
    """For each of the people, the worlds that fit what that one says."""
    style: Style
    rng: random.Random

    @property
    def people(self) -> str:
        """Their names."""
        return NAMES[: len(self.fits)]

    def turn(self, speaker: str, opened: Worlds) -> str:
        """The words that a step of this speaker begins with: `A: B-lies`, and `true` or `false` where that is known."""
        statement = self.statements[NAMES.index(speaker)]
        true_in = where_true(statement, opened)
        known = " true" if true_in == opened else " false" if not true_in else ""
        return f"{speaker}: {statement}{known}"


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
    return _explore(Search(tuple(statements), fits, styles[kind], rng), worlds(len(statements)))


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
    """Pieces of what follows, until nothing does or everybody is settled; returns the worlds that are left open.

    Now and then somebody is asked in vain: who has something to say is not to be seen beforehand.
    """
    while steps := _steps(search, opened):
        if (idle := _idle(search, opened)) and search.rng.random() < IDLE_SHARE:
            yield search.rng.choice(idle), None
        speaker, derived = search.rng.choice(steps)
        if derived is None:
            yield (
                f"{search.turn(speaker, opened)} no",
                Tried(described(search.rng.choice(sorted(opened))), is_right=False),
            )
            return frozenset()
        yield f"{search.turn(speaker, opened)} so {derived}", None
        opened = where(derived, opened)
    return opened


def _steps(search: Search, opened: Worlds) -> list[tuple[str, str | None]]:
    """What may be said next of somebody's statement: a fact that it adds, or None where it fits no open world."""
    if len(opened) == 1 or not search.style.checks_early:
        return []
    steps: list[tuple[str, str | None]] = []
    for speaker, fits in zip(search.people, search.fits, strict=True):
        if not opened & fits:
            steps.append((speaker, None))
        elif search.style.derives:
            steps += [(speaker, derived) for derived in _added(search, opened, opened & fits)]
    return steps


def _idle(search: Search, opened: Worlds) -> list[str]:
    """What is said of statements that add nothing, by whether they fit already."""
    said = []
    for speaker, fits in zip(search.people, search.fits, strict=True):
        left = opened & fits
        if left and not _added(search, opened, left):
            said.append(f"{search.turn(speaker, opened)} {'yes' if left == opened else 'open'}")
    return said


def _added(search: Search, opened: Worlds, left: Worlds) -> list[str]:
    """The facts that are so in the worlds left, but not yet in all that are open."""
    options = {person: _may_be(person, left) for person in search.people if len(_may_be(person, opened)) == 2}
    return [facts[0] for facts in options.values() if len(facts) == 1]


def _check(search: Search, opened: Worlds) -> Iterator[tuple[str, Tried | None]]:
    """What everybody says, held against the one world that is open, as far as it fits."""
    (world,) = opened
    for speaker, fits in zip(search.people, search.fits, strict=True):
        does_fit, is_last = world in fits, speaker == search.people[-1]
        tried = None if does_fit and not is_last else Tried(described(world), is_right=does_fit)
        yield f"{search.turn(speaker, opened)} {'yes' if does_fit else 'no'}", tried
        if not does_fit:
            return


def _may_be(person: str, opened: Worlds) -> list[str]:
    """What may be so of the person."""
    return [fact for fact in facts(person) if where(fact, opened)]


def make_trace(problem: Problem, kind: TraceType, rng: random.Random, budget: int = BUDGET) -> str:
    """One completion of this kind, without its end-of-sequence token, which the budget counts."""
    return traces.make_trace(search, problem, kind, rng, budget)
