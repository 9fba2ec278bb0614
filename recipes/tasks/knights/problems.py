"""Every problem of knights and knaves with two to four people and exactly one solution, once.

Everybody says one thing: what somebody else is; that two people are alike, or differ; what each of two is, joined by
`and` or `or`. Of three or four people nobody says what by itself settles anybody, so that nothing follows before
something is assumed; of two, that would leave four problems. Of four people, where there would be 100,000, the two that
are spoken of are others than the speaker, and joined only where they are of one kind. Problems that differ by the
people's names alone are one problem.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations, permutations, product

import numpy as np

from doubleback.recipes.tasks.task import BOUNDS_WITH_PRETRAINING, split_of
from doubleback.rewards.builtin.knights import HONEST, KNAVE, KNIGHT, LIES, NAMES, fact, fitting, where, worlds
from doubleback.rewards.types import Problem

NUM_PEOPLE = (2, 3, 4)
Said = tuple[str, ...]
"""What each of the people says, in their order."""


def sayable(speaker: str, people: str) -> list[str]:
    """Every statement that this one of the people may make."""
    return [statement for statement in _statements(people) if _is_said_by(speaker, statement, people)]


def _statements(people: str) -> Iterator[str]:
    """All statements about these people, those that nobody makes among them."""
    yield from claims(people)
    for first, second in combinations(people, 2):
        yield from (f"{first} {second} {how}" for how in ("alike", "differ"))
        for one, how, other in product(claims(first), ("and", "or"), claims(second)):
            yield f"{one} {how} {other}"


def facts(people: str) -> list[str]:
    """All that may be said of what these people are: A-knight, A-knave, B-knight ..."""
    return [fact(person, kind) for person, kind in product(people, (KNIGHT, KNAVE))]


def claims(people: str) -> list[str]:
    """The same as people say it: A-honest, A-lies, B-honest ..."""
    return [fact(person, kind) for person, kind in product(people, (HONEST, LIES))]


def _is_said_by(speaker: str, statement: str, people: str) -> bool:
    are_unlike = f"-{HONEST}" in statement and f"-{LIES}" in statement
    if len(people) == max(NUM_PEOPLE) and (speaker in statement or are_unlike):
        return False
    left = fitting(people.index(speaker), statement, len(people))
    settles_nobody = all(where(fact, left) for fact in facts(people))
    # Nobody can say "I am a knave", and who says "I am a knight" says nothing.
    return statement not in claims(speaker) and (settles_nobody or len(people) == min(NUM_PEOPLE))


def renamed(statement: str, names: Mapping[str, str]) -> str:
    """The statement with other names, the two of a pair in their order still: B A alike is A B alike."""
    match re.sub("[A-D]", lambda name: names[name[0]], statement).split():
        case [first, second, ("alike" | "differ") as how]:
            return f"{min(first, second)} {max(first, second)} {how}"
        case [first, how, second]:
            return f"{min(first, second)} {how} {max(first, second)}"
        case words:
            return " ".join(words)


def rename(said: Said, order: Sequence[str]) -> Said:
    """What is said where the first of the people is called `order[0]`, the next `order[1]` and so on."""
    names = dict(zip(NAMES, order, strict=False))
    return tuple(renamed(said[order.index(name)], names) for name in NAMES[: len(said)])


@cache
def all_problems(num_people: int) -> tuple[Problem, ...]:
    """Every problem of so many people, in the order of its identity: 38 of two, 598 of three, 6,583 of four."""
    if num_people not in NUM_PEOPLE:
        raise ValueError(f"num_people={num_people} must be one of {NUM_PEOPLE}")
    return tuple(_shown(said) for said in sorted(_solvable(num_people)))


def _solvable(num_people: int) -> Iterator[Said]:
    """What people may say that has one solution, in the naming whose text comes first. Shapes: N ways to say it all."""
    people = NAMES[:num_people]
    said = [sayable(person, people) for person in people]
    every = sorted({statement for statements in said for statement in statements})
    number = {statement: i for i, statement in enumerate(every)}
    choices = np.indices([len(statements) for statements in said]).reshape(num_people, -1)
    bits = {world: 1 << i for i, world in enumerate(sorted(worlds(num_people)))}
    fits_N = np.full(choices.shape[1], sum(bits.values()))
    for place, statements in enumerate(said):
        masks = [sum(bits[world] for world in fitting(place, statement, num_people)) for statement in statements]
        fits_N &= np.array(masks)[choices[place]]
    # A mask with one bit is one solution.
    has_one_N = (fits_N != 0) & (fits_N & (fits_N - 1) == 0)
    numbers = np.stack(
        [
            np.array([number[statement] for statement in statements])[choices[place, has_one_N]]
            for place, statements in enumerate(said)
        ]
    )
    powers = len(every) ** np.arange(num_people)[::-1]
    is_first_N = np.full(numbers.shape[1], True)
    for order in permutations(people):
        names = dict(zip(people, order, strict=True))
        renumbered = np.array([number[renamed(statement, names)] for statement in every])
        sources = [order.index(person) for person in people]
        is_first_N &= powers @ numbers <= powers @ renumbered[numbers[sources]]
    yield from (tuple(every[i] for i in column) for column in numbers[:, is_first_N].T)


def make_problem(said: Said) -> Problem:
    """The problem in which the people say this, whatever their names."""
    return _shown(min(rename(said, order) for order in permutations(NAMES[: len(said)])))


def _shown(canonical: Said) -> Problem:
    """The problem of this identity. The names that are shown are drawn by it, so that they give nothing away.

    Of "B-lies" and "A-honest or B-lies" it is "A: B-lies , B: A-honest or B-lies ?", or that renamed.
    """
    people = NAMES[: len(canonical)]
    identity = f"knights{len(canonical)}:{'; '.join(canonical)}"
    rng = random.Random(identity)
    statements = list(rename(canonical, rng.sample(people, len(people))))
    says = " , ".join(f"{person}: {statement}" for person, statement in zip(people, statements, strict=True))
    return Problem(identity, f"{says} ?", {"statements": statements, "level": len(canonical)})


@cache
def problems(num_people: int, split: str) -> tuple[Problem, ...]:
    """The problems of one split, "pretrain" among them, in the order of `all_problems`."""
    return tuple(
        problem for problem in all_problems(num_people) if split_of(problem.id, BOUNDS_WITH_PRETRAINING) == split
    )
