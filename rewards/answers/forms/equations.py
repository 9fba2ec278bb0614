r"""Equations and inequalities of several variables, however they are arranged: `y = 2x + 1` is `2x - y + 1 = 0`.

Only polynomials on both sides are read. A gold that gives one name a number (`x = 5`) is a value, and `2x = 10` leaves
work to do: that is no rearrangement of it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from doubleback.rewards.answers.forms.polynomial import (
    Polynomial,
    degree,
    is_proportional,
    letters,
    parse_polynomial,
    subtract,
)
from doubleback.rewards.answers.notation import normalise

MAX_STATED = 8
"""Equations of a question that are read."""
QUESTION_READ = 2_000
"""Characters of the end of a question."""

_RELATION = re.compile(r"=|<|>|\\(?:le|ge)(?![A-Za-z])")
TURNED = {"=": "=", "<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}
"""A sign of relation -> the sign when the two sides change places."""
_PROSE = re.compile(r"(?<![\\A-Za-z])(?:[A-Za-z]{3,}|is|of|to|in|at|if|by|we|so|or|an|on|it|as)(?![A-Za-z])")
_STOP = re.compile(r"[.,;:?!]$")


@dataclass(frozen=True, slots=True)
class Relation:
    """`left - right` and how it stands to 0."""

    difference: Polynomial
    """Of the two sides."""
    sign: str
    """"=", "<", ">", "\\le" or "\\ge"."""


def is_rearranged(candidate: str, gold: str, question: str = "") -> bool:
    """Whether the candidate states the gold, which is a relation of several variables or one of a higher degree.

    Not where the question states it too: there the gold is one way to put it, and any other is left to do. Candidate
    and gold are normalised.
    """
    wanted, given = _relation(gold), _relation(candidate)
    if wanted is None or given is None or not _is_relation_of_several(wanted):
        return False
    return _is_same(wanted, given) and not any(_is_same(wanted, stated) for stated in _stated(question))


def _relation(text: str) -> Relation | None:
    signs = _RELATION.findall(text)
    if len(signs) != 1:
        return None
    left, right = (parse_polynomial(side.strip()) for side in _RELATION.split(text))
    return None if left is None or right is None else Relation(subtract(left, right), signs[0])


def _is_relation_of_several(relation: Relation) -> bool:
    return len(letters(relation.difference)) > 1 or (relation.sign == "=" and degree(relation.difference) > 1)


def _is_same(one: Relation, other: Relation) -> bool:
    factor = is_proportional(one.difference, other.difference)
    return factor is not None and other.sign == (one.sign if factor > 0 or one.sign == "=" else TURNED[one.sign])


def _stated(question: str) -> list[Relation]:
    """The equations of a question."""
    sides = question[-QUESTION_READ:].replace("$", " ").split("=")[: MAX_STATED + 1]
    texts = [f"{_last_formula(left)}={_first_formula(right)}" for left, right in pairwise(sides)]
    return [relation for text in texts if (relation := _relation(normalise(text))) is not None]


def _last_formula(text: str) -> str:
    """The end of a text from its last word of prose on."""
    words = text.split()
    starts = (number for number in range(len(words), 0, -1) if _PROSE.search(words[number - 1]) or _ends(words, number))
    return " ".join(words[next(starts, 0) :])


def _first_formula(text: str) -> str:
    """The beginning of a text up to its first word of prose, or to the first that ends a clause."""
    words = text.split()
    ends = (number for number in range(len(words)) if _PROSE.search(words[number]) or (number and _ends(words, number)))
    return " ".join(words[: next(ends, len(words))]).rstrip(".,;:?!")


def _ends(words: Sequence[str], number: int) -> bool:
    return _STOP.search(words[number - 1]) is not None
