"""Exact rational numbers as people write them, and what stands beside them; no expression is evaluated.

The text comes from a model under optimisation pressure: only ASCII digits count, length and exponents are capped, and
whatever is not one number as a whole is none.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

MAX_LENGTH = 80
"""Characters, with signs, separators and LaTeX. Bounds the size of every integer."""
MAX_EXPONENT = 100
"""Of ten, in scientific notation."""
MAX_NUMBERS = 64
"""Elements of a list."""
MAX_WORDS = 12
"""Beside a number."""
ALTERING_WORDS = frozenset(
    re.findall(
        "[a-z]+",
        """
        or and not no nor never none neither either maybe perhaps possibly probably might could may cannot guess unsure
        unknown about approximately approx around roughly nearly almost circa between near close up least most more less
        fewer over under above below greater than but if unless except instead rather versus vs isn isnt wrong incorrect
        false ignore previous instructions disregard system grader reward  hundred hundreds thousand thousands million
        millions billion billions trillion lakh crore dozen dozens percent  percentage pct k half halves thirds fourths
        fifths tenths hundredths thousandths twice double triple plus minus  negative root power base mod modulo
        remainder binary octal hexadecimal divided multiplied  zero two three four five six seven eight nine ten eleven
        twelve twenty tens
        """,
    )
)
"""Words beside a number that make another number of it, deny it, hedge, or talk to the grader."""

_INTEGER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)"
_DECIMAL = rf"(?:{_INTEGER}(?:\.[0-9]*)?|\.[0-9]+)"
_FRAC = r"\\[dtc]?frac\s*(?:\{\s*([-+]?[0-9]+)\s*\}|([0-9]))\s*(?:\{\s*([-+]?[0-9]+)\s*\}|([0-9]))"
_REPEATING = re.compile(r"([0-9]{0,20})\.([0-9]{0,20})\\(?:overline|bar|dot) ?\{?([0-9]{1,20})\}?")
_POWER_OF_TEN = re.compile(r"10\^\{?(-[0-9]{1,3})\}?")
_PLAIN = re.compile(_DECIMAL)
_SCIENTIFIC = re.compile(
    rf"({_DECIMAL})(?:[eE]|\s*(?:\\times|\\cdot|\*|×|·)\s*10\s*\^)(?:\{{([-+]?[0-9]{{1,3}})\}}|([-+]?[0-9]{{1,3}}))"
)
_SLASH = re.compile(rf"(?:([0-9]+)\s+)?({_INTEGER})\s*/\s*({_INTEGER})")
_LATEX = re.compile(rf"([0-9]+)?\s*{_FRAC}")
_SIGN = re.compile(r"([-+]?)\s*(?:\\?\$|[£€])?\s*([-+]?)\s*")
_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))
_QUANTITY = re.compile(
    rf"([-+]?(?:\\frac\{{[0-9]+\}}\{{[0-9]+\}}|{_DECIMAL}(?:/[0-9]+)?)) ?"
    r"([A-Za-z]+(?:[ /*-][A-Za-z]+|\^(?:[0-9]|\{-?[0-9]\}))*)"
)
_UNIT_WORD = re.compile(r"[A-Za-z]+")
_UNIT_SPELLINGS = {
    "min": "minute",
    "hr": "hour",
    "sec": "second",
    "ft": "foot",
    "feet": "foot",
    "in": "inch",
    "inche": "inch",
    "lb": "pound",
    "oz": "ounce",
    "yd": "yard",
    "mi": "mile",
    "centimeter": "cm",
    "centimetre": "cm",
    "meter": "metre",
    "kilometer": "km",
    "kilometre": "km",
    "millimeter": "mm",
    "millimetre": "mm",
    "kilogram": "kg",
    "gram": "gram",
    "cm": "cm",
    "km": "km",
    "mm": "mm",
    "kg": "kg",
    "ml": "ml",
    "mg": "mg",
}
_LETTER_UNITS = frozenset("mgshlL")
_BASE = re.compile(r"\(?([0-9A-F]*[0-9][0-9A-F]*)\)?(?:_\{([0-9]{1,2})\}|_([0-9]{1,2})| (?:in )?base ([0-9]{1,2}))")
_IN_WORDS = re.compile(
    r"([A-Za-z ,:']*?)(?<![A-Za-z])"
    r"((?:[-+−$£€]|\\\$)*(?:\\frac\{-?[0-9]+\}\{[0-9]+\}|[0-9]+ [0-9]+/[0-9]+|\.?[0-9](?:[0-9,./]*[0-9])?))"
    r"((?:[A-Za-z ,.'()/]|(?<=[A-Za-z])(?:-(?=[A-Za-z])|\^(?:[23]|\{[23]\})))*)"
)
_POWER_AFTER = re.compile(r"\W*(?:squared|cubed|factorial)\b", re.IGNORECASE)
_BRACKETS = {"(": ")", "[": "]", "{": "}"}


@lru_cache(maxsize=64)  # the completions of a problem follow each other, each compared with its golds
def parse_rational(text: str) -> Fraction | None:
    r"""The value of `text` where it is one number: `-1,234.5`, `.5`, `5.`, `3/4`, `\frac{3}{4}`, `1\frac{1}{2}`,
    `1 1/2`, `1{,}234`, `1.5e3`, `1.5 \times 10^{3}`; else None.

    Math delimiters, a currency sign in front and a full stop behind it are passed over. No percent sign, no unit, no
    operator: `50%`, `5 cm` and `3+4` are None. A mixed number needs a proper fraction: `2\frac{3}{2}` is None.
    """
    if len(text) > MAX_LENGTH:
        return None
    bare = _undelimited(text.strip()).replace("−", "-").replace("{,}", ",").replace(r"\!", "").replace(r"\,", ",")
    sign = _SIGN.match(bare)
    if sign is None or (sign[1] and sign[2]):
        return None
    magnitude = _magnitude(bare[sign.end() :].rstrip())
    if magnitude is None:
        return None
    return -magnitude if "-" in (sign[1], sign[2]) else magnitude


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with a unit."""

    number: str
    """For `parse_rational`: "5"."""
    unit: str
    """As written: "km/h", "cm^2"; of the product 2ab: "ab"."""


def split_quantity(text: str) -> Quantity | None:
    """The parts of `5 cm`, `600/7 km/h` or `2ab`; None where no letters follow one number."""
    match = _QUANTITY.fullmatch(text)
    return Quantity(match[1], match[2]) if match else None


def unit_key(unit: str) -> str:
    """The same for spellings of one unit (`cm`, `Cm`, `minutes`, `min`), another for others; letters keep case."""
    words = _UNIT_WORD.sub(lambda match: _unit_word(match[0]), unit)
    return words.replace(" ", "").replace("{", "").replace("}", "")


def split_base(text: str) -> tuple[str, int | None]:
    r"""The digits and the base of `52_8`, `(1A)_{16}` or `52 in base 8`; the text and None for anything else."""
    match = _BASE.fullmatch(text)
    return (match[1], int(match[2] or match[3] or match[4])) if match else (text, None)


def number_in_words(text: str) -> str | None:
    """The one number among plain words (`72 apples`, `The total is 18 dollars per hour`), as written.

    None where there is no such number, or where a word changes it, denies it or hedges: a hedge is no answer.
    """
    match = _IN_WORDS.fullmatch(text)
    if match is None:
        return None
    before, number, after = match.groups()
    words = [word.lower() for word in re.findall(r"[A-Za-z]+", f"{before} {after}")]
    single = re.findall(r"(?<![A-Za-z])(?!a [a-z]{2})[A-Za-z](?![A-Za-z])", f"{before}|{after}")
    is_plain = len(words) <= MAX_WORDS and not ALTERING_WORDS.intersection(words)
    is_unit = not single or (set(single) <= _LETTER_UNITS and not after.startswith("/") and not before.strip())
    return number if is_plain and is_unit and not _POWER_AFTER.match(after) else None


@dataclass(frozen=True, slots=True)
class Numbers:
    """Several numbers written as one answer."""

    brackets: str
    """"()", "[)", "{}"; "" for a bare list."""
    values: tuple[Fraction, ...]
    """In the order written."""

    @property
    def is_ordered(self) -> bool:
        """Tuples and intervals are; sets and bare lists are not."""
        return self.brackets not in ("", "{}")


def parse_rationals(text: str) -> Numbers | None:
    r"""The numbers of `(1, 2)`, `[0, 1/2)`, `\{1, 2\}` or `1, 2 and 3`; None for anything else, and for fewer than two.

    A comma separates here: `1,234` is two numbers, so ask `parse_rational` first.
    """
    bare = _undelimited(text.strip()).replace("$", "").replace(r"\{", "{").replace(r"\}", "}").strip()
    if not bare or len(bare) > MAX_LENGTH * 8:
        return None
    brackets = bare[0] + bare[-1] if bare[0] in _BRACKETS and bare[-1] in ")]}" else ""
    inner = bare[1:-1] if brackets else bare
    if not brackets:
        inner = re.sub(r"\s*,?\s*\b(?:and|or)\b\s*", ",", inner)
    parts = re.split(r"[,;]", inner)
    if not 2 <= len(parts) <= MAX_NUMBERS:
        return None
    values = tuple(value for value in map(parse_rational, parts) if value is not None)
    return Numbers(brackets, values) if len(values) == len(parts) else None


def _undelimited(text: str) -> str:
    for opening, closing in _DELIMITERS:
        inner = text[len(opening) : -len(closing)]
        if text.startswith(opening) and text.endswith(closing) and inner and "$" not in inner:
            return inner.strip()
        # "$3.$", and "$3$."
        if text.startswith(opening) and text.endswith(closing + "."):
            return text[len(opening) : -len(closing) - 1].strip()
    return text


def _magnitude(text: str) -> Fraction | None:
    if _PLAIN.fullmatch(text):
        return Fraction(text.replace(",", ""))
    if match := _SCIENTIFIC.fullmatch(text.removesuffix(".")):
        exponent = int(match[2] or match[3])
        return Fraction(match[1].replace(",", "")) * Fraction(10) ** exponent if abs(exponent) <= MAX_EXPONENT else None
    if match := _SLASH.fullmatch(text.removesuffix(".")):
        return _mixed(match[1], match[2].replace(",", ""), match[3].replace(",", ""))
    if match := _REPEATING.fullmatch(text):
        return _repeating(match[1] or "0", match[2], match[3])
    if match := _POWER_OF_TEN.fullmatch(text):
        exponent = int(match[1])
        return Fraction(10) ** exponent if -MAX_EXPONENT <= exponent < 0 else None
    if match := _LATEX.fullmatch(text.removesuffix(".")):
        return _mixed(match[1], match[2] or match[3], match[4] or match[5])
    return None


def _repeating(whole: str, fixed: str, period: str) -> Fraction:
    r"""`0.1\overline{36}` is (136 - 1) / 990."""
    digits = int(f"{whole}{fixed}{period}") - int(f"{whole}{fixed}")
    return Fraction(digits, (10 ** len(period) - 1) * 10 ** len(fixed))


def _mixed(whole: str | None, numerator: str, denominator: str) -> Fraction | None:
    if int(denominator) == 0:
        return None
    part = Fraction(int(numerator), int(denominator))
    if whole is None:
        return part
    # 2 3/2 is no mixed number, and could as well be a product.
    return int(whole) + part if 0 < part < 1 else None


def _unit_word(word: str) -> str:
    # Short words may be products of variables: there N is not n, and s is no plural.
    lower = word.lower()
    singular = lower.removesuffix("s") if len(lower) > 2 else lower
    if singular in _UNIT_SPELLINGS:
        return _UNIT_SPELLINGS[singular]
    return singular if len(word) > 3 else word
