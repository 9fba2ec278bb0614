"""One normal form for the notations of an answer: LaTeX and Unicode, sizes and fonts, groups of digits, units."""

import re
from functools import lru_cache

from doubleback.rewards.answers.boxes import closing_brace

_WRAPPER = re.compile(
    r"\\(?:text|textbf|textit|textrm|textsf|texttt|mathrm|mathbf|mathit|mathsf|mbox|hbox|operatorname|emph|underline"
    r"|boldsymbol|bm|textnormal)\*?\s*\{([^{}]*)\}"
)
_BLANK = r"(?:[ \u00a0\u2009\u202f~]|\\[,;: ]|\{ \})"
_FRACTIONS = {
    "½": "1/2",
    "⅓": "1/3",
    "⅔": "2/3",
    "¼": "1/4",
    "¾": "3/4",
    "⅕": "1/5",
    "⅖": "2/5",
    "⅗": "3/5",
    "⅘": "4/5",
    "⅙": "1/6",
    "⅚": "5/6",
    "⅛": "1/8",
    "⅜": "3/8",
    "⅝": "5/8",
    "⅞": "7/8",
}
_SIGNS = str.maketrans("＄￥％“”", '$¥%""')
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_GROUPS = re.compile(
    rf"(?<![0-9.,/'])(?<![0-9] )[1-9][0-9]{{0,2}}(?:(?:{_BLANK}[0-9]{{3}})+|(?:['’][0-9]{{3}})+)"
    rf"(?![0-9/'’]|{_BLANK}[0-9])"
)
"""Blanks and apostrophes as people group digits: three in each group, exactly."""
_RAW_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:textcolor|color)\s*\{[a-zA-Z]{1,12}\}\s*\{([^{}]{1,200})\}", r"\1"),
        (r"\\(?:color\s*\{[a-zA-Z]{1,12}\}|[hv]space\*?\s*\{[^{}]{0,12}\})", " "),
        (
            r"\\(?:tiny|small|normalsize|large|Large|LARGE|huge|Huge|bf|it|rm|limits|displaystyle|textstyle)(?![A-Za-z])",
            " ",
        ),
        (
            r"\\[dt]?frac\s*\{\s*\\(?:text|mathrm)\s*\{\s*([A-Za-z]{1,8})\s*\}\s*\}"
            r"\s*\{\s*\\(?:text|mathrm)\s*\{\s*([A-Za-z]{1,8})\s*\}\s*\}",
            r" \1/\2",
        ),
        (r"\{\s*([0-9]{1,30})\s*\\over\s*([0-9]{1,30})\s*\}", r"\\frac{\1}{\2}"),
        (r"(?<=[0-9])(\\[,;: ]|[ ~])?\\(?:text|mathrm)\s*\{\s*J\s*\}", " joule"),
        (r"(?<=[0-9])(\\[,;: ]|[ ~])?\\(?:text|mathrm)\s*\{\s*N\s*\}", " newton"),
        (r"(?<=[0-9])(\\[,;: ]|[ ~])?\\(?:text|mathrm)\s*\{\s*W\s*\}", " watt"),
        (r"(?<=[0-9])(\\[,;: ]|[ ~])?\\(?:text|mathrm)\s*\{\s*V\s*\}", " volt"),
        (r"(?<=[0-9])(\\[,;: ]|[ ~])?\\Omega(?![A-Za-z])|(?<=[0-9])\s?[ΩΩ]", " ohm"),
        (r"(?:\^\s*\{?\s*\\circ\s*\}?|°)\s*(?:\\(?:text|mathrm)\s*\{\s*([CF])\s*\}|([CF])\b)", r" deg\1\2"),
        (r"\\\\\s*$", ""),
        (r"(\\\\)\[-?[0-9.]{1,6} ?(?:pt|mm|cm|em|ex)\]", r"\1"),
        (r"\{\\,\}", r"\\,"),
        (r"\{\s*~", "{"),
        (r"(?<=[0-9])\{:\}(?=[0-9])", ":"),
    )
)
_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\b(?:US|AU|CA|NZ|HK|A|C|S)\s?\\?\$(?=\s?[0-9])", ""),
        (r"(?<=[0-9])(?:\{,\}|\\,)(?=[0-9]{3})|,\\!\s*", ","),
        (r"(?<=[0-9.])\s?(?:x|X)\s?(?=10\s?\^)", r"\\times "),
        (r"\\(?:left|right|[bB]igg?[lrm]?)(?![A-Za-z])|(?<!\\)\\[!()\[\]]|\\?\$", ""),
        (r"(?<!\\)\\[,;: ]|\\q?quad(?![A-Za-z])|(?<=[\w}])~", " "),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\(?:leqslant|leq)(?![A-Za-z])|≤|<=", r"\\le"),
        (r"\\(?:geqslant|geq)(?![A-Za-z])|≥|>=", r"\\ge"),
        # An angle of 90 degrees may be given as 90: only the sign is dropped, never a letter behind it.
        (r"\^\s*(?:\{\s*\\(?:circ|degree)\s*\}|\\circ(?![A-Za-z]))|\\degree(?![A-Za-z])|°", ""),
        (r"\\%|\s*\bper ?cent\b|\s*\bpct\b|\s*\bpercentage\b(?! ?point)", "%"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\neq(?![A-Za-z])|≠|(?<=[A-Za-z])\s?!=", r"\\ne "),
        (r"\{([0-9]{1,30})\}/\{([0-9]{1,30})\}", r"\1/\2"),
        (r"[−–]", "-"),
        (r"×", r"\\times "),
        (r"·", r"\\cdot "),
        (r"÷", r"\\div "),
        (r"π", r"\\pi "),
        (r"∞", r"\\infty "),
        (r"∪", r"\\cup "),
        (r"\\varnothing(?![A-Za-z])|∅", r"\\emptyset"),
        (r"\\(?:ldots|cdots|dotsc|dotsb)(?![A-Za-z])|…|(?<=,)\s*\.\.\.", r"\\dots"),
        (r"\\log_(?:e|\{e\})", r"\\ln "),
        (r"(?<=[0-9A-Za-z)])\s?\*\*\s?([0-9]{1,4})(?![0-9]|\s?\*\*|\s?\^)", r"^{\1}"),
        (r"(?<![0-9.])([0-9]{1,40})\.0{1,40}(?=i(?![A-Za-z])|[-+][0-9.]{1,40}i(?![A-Za-z]))", r"\1"),
        (r"(?<![0-9.])1(?=i(?![A-Za-z]))", ""),
        (r"\\begin ?\{array\} ?\{[lcr| ]{1,20}\}", r"\\begin{matrix}"),
        (r"\\end ?\{array\}", r"\\end{matrix}"),
        (r"\((\\begin\{)(matrix\}[^()]{1,300}\\end\{)(matrix\})\)|(?!)", r"\1p\2p\3"),
        (r"\[(\\begin\{)(matrix\}[^\[\]]{1,300}\\end\{)(matrix\})\]|(?!)", r"\1p\2p\3"),
        (r"(\\(?:begin|end) ?\{)bmatrix\}", r"\1pmatrix}"),
        (r"([_^])\s*\{\s*([0-9A-Za-z])\s*\}(?![0-9A-Za-z])", r"\1\2"),
        (r"^\s*([A-Za-z])\s*(?:\\in(?![A-Za-z])|∈)", r"\1="),
        (r"(?<=:[0-9][0-9])\s?[aA]\.?\s?[mM]\b\.?", " AM"),
        (r"(?<=:[0-9][0-9])\s?[pP]\.?\s?[mM]\b\.?", " PM"),
        (
            r"\b((?:Jan|Febr)uary|March|April|May|June|July|August|(?:Septem|Octo|Novem|Decem)ber) ([0-9]{1,2})"
            r"(?:st|nd|rd|th)\b",
            r"\1 \2",
        ),
        (r"\s+", " "),
        # A space after a comma stays: 240, 135 are two numbers.
        (r"(?<![0-9A-Za-z,]) | (?![0-9A-Za-z])", ""),
    )
)
_NUMERIC_FRACTION = re.compile(r"([-+]?)\\frac ?(?:\{([0-9]+)\}|([0-9])) ?(?:\{([0-9]+)\}|([0-9]))")
_BRACKETED_CHOICE = re.compile(r"\(([A-J])\)")
_ROOT = re.compile(r"√\s*(?:([0-9]+|[A-Za-z])|(?=\{)|\(([0-9A-Za-z+*-]{1,40})\))")
_SUPERSCRIPT = re.compile(r"(?<=[\w)}\]])[⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_FRACTION_SIGN = re.compile(rf"([0-9]?)\s?([{''.join(_FRACTIONS)}])")


@lru_cache(maxsize=1024)
def normalise(text: str) -> str:
    """`text` without what carries no meaning: math delimiters, spacing, sizes, fonts, the degree sign, a full stop.

    A space between two letters or digits stays, for `7 2` is not `72`; three digits behind it are a group, `12 500`.
    """
    plain = text.strip().strip("*`_")
    if plain.isascii() and plain.replace(",", "").isdigit() and plain[-1] != ",":
        return plain  # most answers: nothing below would change them
    if not plain.isascii():
        plain = _from_unicode(plain)
    if plain[:1] == '"' == plain[-1:]:
        plain = plain[1:-1]
    if "\\" in plain or "°" in plain:
        for pattern, replacement in _RAW_REWRITES:
            plain = pattern.sub(replacement, plain)
        for _ in range(3):
            plain = _WRAPPER.sub(r" \1 ", plain)
    plain = _GROUPS.sub(lambda match: re.sub(r"[^0-9]", "", match[0]), plain)
    for pattern, replacement in _REWRITES:
        plain = pattern.sub(replacement, plain)
    plain = plain.strip().strip("*").rstrip(".,;").lstrip("=:").strip()
    for _ in range(2):
        if len(plain) > 2 and plain[0] == "{" and closing_brace(plain, 0) == len(plain) and not _is_list(plain):
            plain = plain[1:-1].strip()
    choice = _BRACKETED_CHOICE.fullmatch(plain)
    return choice[1] if choice else plain


def squash(text: str) -> str:
    """`text`, normalised, for comparison as text: no spaces but between digits, and a fraction of digits as a/b."""
    if match := _NUMERIC_FRACTION.fullmatch(text):
        text = f"{match[1]}{match[2] or match[3]}/{match[4] or match[5]}"
    return re.sub(r"(?<![0-9]) | (?![0-9])", "", text)


def _is_list(braced: str) -> bool:
    return "," in braced


def _from_unicode(text: str) -> str:
    """Signs of Unicode as LaTeX: a vulgar fraction, a root, exponents, thin and unbroken blanks."""
    plain = _FRACTION_SIGN.sub(
        lambda match: f"{match[1]} {_FRACTIONS[match[2]]}" if match[1] else _FRACTIONS[match[2]], text.translate(_SIGNS)
    )
    plain = _SUPERSCRIPT.sub(lambda match: f"^{{{match[0].translate(_SUPERSCRIPTS)}}}", plain)
    return _ROOT.sub(_root, plain)


def _root(match: re.Match[str]) -> str:
    radicand = match[1] or match[2]
    return f"\\sqrt{{{radicand}}}" if radicand else "\\sqrt"


_SCRIPTS = (
    # The first and last letter of a script, and the zero of the digits it is written with.
    ("぀", "鿿", "０"),
    ("؀", "ۿ", "٠"),
    ("؀", "ۿ", "۰"),
    ("ऀ", "ॿ", "०"),
    ("ঀ", "৿", "০"),
    ("฀", "๿", "๐"),
)


def with_ascii_digits(text: str) -> str:
    """`text` with the digits of another script as ASCII ones, where it is written in that script.

    Amid another script they are a disguise, and stay: `７２` in an English sentence is not read.
    """
    if text.isascii():
        return text
    table: dict[int, str] = {}
    for first, last, zero in _SCRIPTS:
        digits = {ord(zero) + number: str(number) for number in range(10)}
        letters = (character for character in text if first <= character <= last)
        if any(ord(character) in digits for character in text) and any(map(str.isalpha, letters)):
            table |= digits
    return text.translate(table) if table else text
