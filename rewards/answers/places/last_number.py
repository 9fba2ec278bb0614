"""The answer of a text without any marker: all of it where it is nothing else, or its last number."""

import re
from dataclasses import replace

from doubleback.rewards.answers.markers import OR_BEFORE, WINDOW, Extraction, Style, commit
from doubleback.rewards.answers.notation import with_ascii_digits
from doubleback.rewards.types import Verdict

MAX_BARE = 80
"""Characters of a text that is nothing but an answer."""
MATH_READ = 2_000
"""Characters of the end of a text in which formulas are looked for."""

_NUMBER = re.compile(
    r"(?:\bnot\s+)?"
    r"(?:\d{1,2}:\d{2}(?::\d{2})?(?:\s?[aApP]\.?\s?[mM]\b)?|\d+:\d+"
    r"|(?:(?<![\w)}])[-−])?"
    r"(?:\\[dt]?frac\{[-+]?\d+\}\{\d+\}|\d{1,3} \d{1,3}/\d{1,3}|\.?\d(?:[\d,]*\d)?(?:\.\d+)?(?:/\d+)?))"
    r"(?:\s?\$?\s?\\?%|\$?\s+(?:percent|per cent|pct|hundred|thousand|million|billion|trillion|dozen)\b)?"
)
# The exponent of a unit, `48 cm^2`, is no number of its own.
_UNIT_POWER = re.compile(r"[0-9] ?(?:mm|cm|dm|m|km|ft|in|yd)\^\{?$")
_INSIDE_BEFORE = re.compile(r"(?:[\^_{]|\\[a-z]+)\s*$")
_INSIDE_AFTER = re.compile(r"\s*[\^_}!]|[eE][-+]?\d")
_TUPLE = re.compile(r"[(\[]\s*[-−]?[\d./]+(?:\s*,\s*[-−]?[\d./]+)+\s*[)\]]")
_MATH = re.compile(
    r"\$\$(?P<display>[^$]{1,600})\$\$|\$(?P<inline>[^$\n]{1,300})\$|\\\((?P<round>.{1,300}?)\\\)"
    r"|\\\[(?P<square>.{1,600}?)\\\]",
    re.DOTALL,
)
_LATEX_NAME = re.compile(r"\\(?:text|mathrm|textbf|operatorname|mathbf)\s*\{[^{}]*\}|\\[A-Za-z]+|\{[a-z]+\}")
_WORD = re.compile(r"[^\W\d_]{2,}")
_ONE_WORD = re.compile(r"(?:[A-Z][a-z]*|true|false|even|odd)[.!]?")
_SPEAKS = re.compile(r"(?:yes|no)\b[,.!;]?", re.IGNORECASE)


def from_last_number(region: str) -> Extraction | None:
    """A text that is nothing but an answer, the formula with the last number, or the last number."""
    readable = with_ascii_digits(region)
    if (bare := _bare_answer(readable)) is not None:
        return commit(Style.LAST_NUMBER, [bare], is_exact=True)
    matches = [
        match
        for match in _NUMBER.finditer(readable)
        if not _UNIT_POWER.search(readable, max(0, match.start() - 8), match.start())
    ]
    if not matches:
        return None
    last = matches[-1]
    if not last[0].isascii():
        detail = "the last number has digits of another script"
        return Extraction(None, Style.LAST_NUMBER, Verdict.BAD_FORMAT, detail=detail)
    formula = _formula_around(readable, last)
    return _from_number(readable, last) if formula is None else _from_formula(formula, last[0].strip())


def _bare_answer(text: str) -> str | None:
    """A short line without a sentence: numbers and signs, one word, or a yes or no with its reason."""
    line = text.strip().strip("*_`").strip()
    if not line or len(line) > MAX_BARE or "\n" in line:
        return None
    if any(character.isdecimal() and not character.isascii() for character in line):
        return None
    has_words = _WORD.search(_LATEX_NAME.sub(" ", line)) is not None
    return line if not has_words or _ONE_WORD.fullmatch(line) or _SPEAKS.match(line) else None


def _formula_around(text: str, number: re.Match[str]) -> str | None:
    """The formula between delimiters in which a number stands; None where it is all of it, and between prices."""
    for match in _MATH.finditer(text, max(0, len(text) - MATH_READ)):
        if match.start() < number.start() and number.end() <= match.end():
            formula = next(group for group in match.groups() if group is not None).strip()
            is_prose = len(_WORD.findall(_LATEX_NAME.sub(" ", formula))) > 1
            return None if is_prose or formula.rstrip(".,") == number[0].strip() else formula
    return None


def _from_formula(formula: str, number: str) -> Extraction:
    """All of it; and where it ends in a value, `x + 24 = 72`, that value alone too."""
    extraction = commit(Style.LAST_NUMBER, [formula.rstrip(".,")])
    value = formula.rpartition("=")[2].strip(" .,")
    return replace(extraction, plainer=number) if "=" in formula and value == number else extraction


def _from_number(text: str, last: re.Match[str]) -> Extraction:
    style, number = Style.LAST_NUMBER, last[0].strip()
    before = text[max(0, last.start() - WINDOW) : last.start()]
    if _INSIDE_BEFORE.search(before) or _INSIDE_AFTER.match(text, last.end()):
        return Extraction(None, style, Verdict.BAD_FORMAT, detail="the last number is part of an expression")
    if OR_BEFORE.search(before):
        return Extraction(None, style, Verdict.WRONG, detail="a hedge: one number or another")
    around = [match for match in _TUPLE.finditer(text, max(0, last.start() - WINDOW)) if match.end() >= last.end()]
    return commit(style, [around[-1][0] if around else number], is_exact=text.strip() == number)
