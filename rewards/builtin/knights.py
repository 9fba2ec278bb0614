"""Knights and knaves: who tells the truth, and who lies?

Everybody says one thing; what a knight says is true, what a knave says is false. The first of the people is A, the next
B, and so on. What is said is a text of one of four forms:

    B-lies                   B is a knave; `B-honest`: a knight
    A C alike                A and C are both knights or both knaves; `A C differ` is the opposite
    A-honest and B-lies      both hold
    A-honest or B-lies       one of them holds at least

A world says of each person whether that is a knight. A statement fits a world if its speaker is a knight in it exactly
where the statement is true.
"""

import re
from collections.abc import Sequence
from functools import lru_cache, reduce
from itertools import product

from doubleback.rewards.answers.extract import no_region, think_answer
from doubleback.rewards.answers.messages import Messages
from doubleback.rewards.answers.thinking import ANY, Thinking, thinking_of
from doubleback.rewards.contract.functions import per_sample
from doubleback.rewards.types import Score, Verdict

NAMES = "ABCD"
"""Of the people, in their order: four at most."""
KNIGHT, KNAVE = "knight", "knave"
HONEST, LIES = "honest", "lies"
"""What people say of each other: other words than what they are found to be, so that neither is taken for the other."""
World = tuple[bool, ...]
"""Whether each of the people is a knight."""
Worlds = frozenset[World]

_ITEM = r"[A-Za-z](?:-| | is | is a )(?:knight|knave)"
_ANSWER = re.compile(rf"{_ITEM}(?:(?: ?[,;] ?| )(?:and )?{_ITEM})*\.?", re.ASCII)
_NAMED = re.compile(r"([A-Za-z])(?:-| | is | is a )(knight|knave)", re.ASCII)


def worlds(num_people: int) -> Worlds:
    """All worlds of so many people."""
    return frozenset(product((True, False), repeat=num_people))


def fact(person: str, kind: str) -> str:
    """That a person is of a kind, as it is written: `A-knight`."""
    return f"{person}-{kind}"


@lru_cache(maxsize=4096)
def where(fact: str, among: Worlds) -> Worlds:
    """Those of the worlds in which a fact, or a claim, is so: A-knight, B-lies. ValueError where it is neither."""
    person, _, kind = fact.partition("-")
    if not (person and person in NAMES and kind in (KNIGHT, HONEST, KNAVE, LIES)):
        raise ValueError(f"{fact!r} does not say what one of {' '.join(NAMES)} is, as A-honest and B-lies do")
    place, is_knight = NAMES.index(person), kind in (KNIGHT, HONEST)
    return frozenset(world for world in among if world[place] == is_knight)


@lru_cache(maxsize=16_384)
def where_true(statement: str, among: Worlds) -> Worlds:
    """Those of the worlds in which the statement is true. ValueError where it is of none of the forms."""
    match statement.split():
        case [only]:
            return where(only, among)
        case [first, second, "alike" | "differ" as how]:
            i, j, are_alike = NAMES.index(first), NAMES.index(second), how == "alike"
            return frozenset(world for world in among if (world[i] == world[j]) == are_alike)
        case [first, "and", second]:
            return where(first, among) & where(second, among)
        case [first, "or", second]:
            return where(first, among) | where(second, among)
    raise ValueError(f"{statement!r} is nothing that anybody says here: B-lies, A C alike, A-honest or B-lies")


@lru_cache(maxsize=4096)
def fitting(speaker: int, statement: str, num_people: int) -> Worlds:
    """The worlds that fit what the `speaker`-th of so many people says."""
    everything = worlds(num_people)
    is_true, is_knight = where_true(statement, everything), where(fact(NAMES[speaker], KNIGHT), everything)
    return (is_true & is_knight) | (everything - is_true - is_knight)


def solutions(statements: Sequence[str]) -> Worlds:
    """The worlds that fit everything that is said: one, where the problem is a good one."""
    fits = [fitting(speaker, statement, len(statements)) for speaker, statement in enumerate(statements)]
    return reduce(frozenset.intersection, fits, worlds(len(statements)))


def described(world: World) -> str:
    """Who is what: `A-knight B-knave`."""
    return " ".join(fact(name, KNIGHT if is_knight else KNAVE) for name, is_knight in zip(NAMES, world, strict=False))


def grade(completion: str, statements: Sequence[str], thinking: Thinking = ANY) -> Score:
    """Right if the answer region says of everybody, once, what they are, and everything that was said fits.

    `A-knight B-knave` and `A is a knight, and B is a knave.` say so; anything more or less does not. Verdicts: correct;
    wrong; no_answer, where no answer stands after the thinking; bad_format, where what stands there names nobody, or
    says anything else besides. What was thought is never looked at, and where thinking is off no thought need
    be there.
    """
    answer = think_answer(completion, thinking).answer
    if answer is None:
        return Score(0.0, Verdict.NO_ANSWER, detail=no_region(thinking))
    said = " ".join(answer.split())
    if not _ANSWER.fullmatch(said):
        return Score(0.0, Verdict.BAD_FORMAT, answer, detail="not of the form: A-knight B-knave")
    named = _NAMED.findall(said)
    people = NAMES[: len(statements)]
    if sorted(person for person, _ in named) != list(people):
        names = " ".join(person for person, _ in named)
        return Score(0.0, Verdict.WRONG, answer, detail=f"says what {names} are, not {' '.join(people)}, each once")
    kinds = dict(named)
    if tuple(kinds[person] == KNIGHT for person in people) not in solutions(statements):
        return Score(0.0, Verdict.WRONG, answer, detail="does not fit what is said")
    return Score(1.0, Verdict.CORRECT, answer, detail="fits what is said")


@per_sample
def knights_correct(
    completion: str,
    statements: Sequence[str],
    prompt: Messages = "",
    thinking_convention: str | None = None,
    thinking: bool | None = None,
) -> Score:
    """1.0 where the answer says of everybody what they are and everything that was said fits it, else 0.0.

    Columns: statements, a text for each of the people. See `grade` for the verdicts. Failure cases: none known; what
    says anything else besides is bad_format. TRL's reward signature.
    """
    return grade(completion, statements, thinking_of(prompt, thinking_convention, thinking))
