"""Numbers as they are said or priced: `twelve`, `two thirds`, `3.2 million`, `48 €`, `48个`."""

import re
from fractions import Fraction

from doubleback.rewards.answers.rational import ALTERING_WORDS, MAX_LENGTH, parse_rational

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_HUNDREDS = {"a": 100} | {word: 100 * number for number, word in enumerate(_ONES[:10]) if number}
_BELOW_HUNDRED = re.compile(rf"({'|'.join(_TENS)})(?:[ -]?({'|'.join(_ONES[1:10])}))?|({'|'.join(_ONES)})")
_BELOW_THOUSAND = re.compile(r"(?:([a-z]+) hundred(?:,? and|,)?)? ?([a-z -]*)")
_PARTS = ("half", "third", "quarter", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_PART_OF = re.compile(rf"(?:([a-z -]+?) and )?([a-z]+)[ -]({'|'.join(_PARTS)}|halve|fourth)s?")

_CURRENCY = "€£¥₹₩₽₺元円圓块"
_IN_CURRENCY = re.compile(rf"([-+]?)\s?(?:[{_CURRENCY}]|Rs\.?)\s?([0-9][0-9.,]*)|([-+]?[0-9][0-9.,]*)\s?[{_CURRENCY}]")
_COUNTED = re.compile(r"([-+]?[0-9][0-9.,]*)\s?([\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]{1,8})")
_NO_COUNTER = re.compile("[十百千万亿億萬半点點分之余多约約或和%零一二三四五六七八九]")
_SCALED = re.compile(r"([-+]?[0-9][0-9,]*(?:\.[0-9]+)?) (thousand|million|billion|trillion)(?: ([a-z]+))?")
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_MIXED_IN_WORDS = re.compile(r"([0-9]{1,20}) and ?(?=\\frac|[0-9]+/[0-9])")


def spoken_rational(text: str) -> Fraction | None:
    r"""The value of a number as it is said or priced: `48 €`, `¥48`, `48元`, `48个`, `3.2 million`, `twelve`,
    `two thirds`, `1 and \frac{3}{4}`; None for anything else. `text` is normalised.
    """
    if len(text) > MAX_LENGTH:
        return None
    if match := _SCALED.fullmatch(text):
        value = parse_rational(match[1])
        return None if value is None or match[3] in ALTERING_WORDS else value * _SCALES[match[2]]
    if match := _IN_CURRENCY.fullmatch(text):
        return parse_rational(f"{match[1] or ''}{match[2] or match[3]}")
    if match := _COUNTED.fullmatch(text):
        return None if _NO_COUNTER.search(match[2]) else parse_rational(match[1])
    if _MIXED_IN_WORDS.match(text):
        return parse_rational(_MIXED_IN_WORDS.sub(r"\1 ", text))
    words = number_of_words(text)
    return Fraction(words) if words is not None else _part_of_words(text.strip().lower())


def number_of_words(text: str) -> int | None:
    """A number below a million that is written out: "twelve", "Forty-two", "two thousand one hundred and five"."""
    words = text.strip().lower()
    if not words.isascii() or len(words) > MAX_LENGTH or not words[:1].isalpha():
        return None
    thousands, mark, rest = words.partition(" thousand")
    if not mark:
        return _below_thousand(words)
    rest = rest.lstrip(",").strip().removeprefix("and ")
    above, below = _below_thousand(thousands), _below_thousand(rest) if rest else 0
    return None if not above or below is None else 1000 * above + below


def _below_thousand(words: str) -> int | None:
    match = _BELOW_THOUSAND.fullmatch(words)
    if match is None or (match[1] and match[1] not in _HUNDREDS):
        return None
    hundreds = _HUNDREDS[match[1]] if match[1] else 0
    if not match[2]:
        return hundreds or None
    below = _BELOW_HUNDRED.fullmatch(match[2])
    if below is None:
        return None
    if below[3]:
        return hundreds + _ONES.index(below[3])
    return hundreds + 10 * (_TENS.index(below[1]) + 2) + (_ONES.index(below[2]) if below[2] else 0)


def _part_of_words(words: str) -> Fraction | None:
    """`two thirds`, `a half`, `one and a half`: a proper part, with a whole number before it or without."""
    match = _PART_OF.fullmatch(words)
    if match is None:
        return None
    whole = number_of_words(match[1]) if match[1] else 0
    count = 1 if match[2] in ("a", "one") else number_of_words(match[2])
    name = {"halve": "half", "fourth": "quarter"}.get(match[3], match[3])
    size = _PARTS.index(name) + 2
    return None if whole is None or count is None or not 0 < count < size else whole + Fraction(count, size)


def currencies(text: str) -> frozenset[str]:
    """The currency signs of a text but for the dollar, which also delimits mathematics."""
    return frozenset(text) & frozenset(_CURRENCY)
