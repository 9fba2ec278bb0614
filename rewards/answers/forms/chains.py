"""Chains of equal sides, `17 - 5 = 12`: checked in exact arithmetic, the last side is what they say."""

import re
from fractions import Fraction
from math import factorial, isqrt

from doubleback.rewards.answers.forms.polynomial import constant
from doubleback.rewards.answers.rational import ALTERING_WORDS

MAX_LINKS = 8
"""Equality signs of a chain."""
MAX_FACTORIAL = 20
"""20! has 19 digits."""

_GROUPED = re.compile(r"(?<![0-9])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])")
_NAME_BEFORE = re.compile(r"^(?:[A-Za-z][A-Za-z ]{0,40}|[A-Za-z]\([A-Za-z0-9]{1,3}\))=(?=[^=]*=)")
_WORD_BEHIND = re.compile(r"(?<=[0-9)}]) ?([A-Za-z]{2,20})(?: ([A-Za-z]{2,20}))?(?![A-Za-z])")
_CURRENCY = re.compile(r"[$€£¥₹]")
_PERCENT = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)%")
_FACTORIAL = re.compile(r"(?<![0-9.)}])([0-9]{1,2})!")
_ROOT = re.compile(r"\\sqrt ?\{?([0-9]{1,30})\}?")
_WORK_LEFT = re.compile(r"[+*()^!]|(?<=[0-9]) ?-|\\(?:times|cdot|div|sqrt)")


def end_of_chain(text: str) -> str | None:
    r"""The last side of `17 - 5 = 12` or `x = 5 + 5 + 1 = 11`, where exact arithmetic makes all sides equal.

    None for anything else: a link that is false, a side that is no arithmetic, a last side that is not evaluated. So
    the last side alone is the answer, and what stands before it is how the answer was found. Words behind a number
    count for nothing in the arithmetic (`10 boxes \times 6 = 60 pens`); the last side keeps its own. `text` is
    normalised.
    """
    sides = _NAME_BEFORE.sub("", text, count=1).split("=")
    last = sides[-1].strip()
    if not 2 <= len(sides) <= MAX_LINKS + 1 or _WORK_LEFT.search(last):
        return None
    values = {_side_value(side) for side in sides}
    return last if len(values) == 1 and None not in values else None


def _side_value(side: str) -> Fraction | None:
    words = {word.lower() for match in _WORD_BEHIND.finditer(side) for word in match.groups() if word}
    if ALTERING_WORDS & words:
        return None
    plain = _WORD_BEHIND.sub(" ", _GROUPED.sub(lambda match: match[0].replace(",", ""), side))
    plain = _PERCENT.sub(r"(\1/100)", _CURRENCY.sub("", plain))
    plain = _FACTORIAL.sub(lambda match: str(_factorial(int(match[1]))), plain)
    return constant(_ROOT.sub(lambda match: _square_root(int(match[1])), plain).strip())


def _factorial(number: int) -> int | str:
    return factorial(number) if number <= MAX_FACTORIAL else "!"


def _square_root(number: int) -> str:
    root = isqrt(number)
    return str(root) if root * root == number else "!"
