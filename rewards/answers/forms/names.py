r"""Names beside values: `k = 1/3` says 1/3, `x = 2, y = -1` says (2, -1), and `\pm 3` says 3 and -3."""

import re

from doubleback.rewards.answers.rational import ALTERING_WORDS

# What may stand before an equality sign without being an equation to solve: a name, a function's value, a length, or
# several letters that were asked for together. `2x`, `x^2`, `-x` and `\sqrt x` leave work to do.
_GREEK = (
    r"\\(?:(?:var)?(?:alpha|beta|gamma|delta|epsilon|theta|lambda|mu|phi|rho|sigma|omega|pi)|Delta|Omega|Sigma|Phi)"
)
_SYMBOL = rf"(?:[A-Za-z]|{_GREEK} ?)'{{0,2}}(?:_(?:[0-9A-Za-z]|\{{[^{{}}=]{{1,12}}\}}))?"
_DECORATED = (
    r"\\(?:angle|triangle|vec|overline|mathbf|mathrm|hat|bar|widehat|overrightarrow|det|dim|deg) ?\{?[A-Za-z]{1,4}\}?"
)
_WORDS = r"[A-Za-z]{2,20}(?: [A-Za-z]{1,20}){0,5}"
_TRIG = rf"\\?(?:sin|cos|tan|cot|sec|csc) ?(?:\({_SYMBOL}\)|\\angle ?[A-Z]{{1,3}}|{_SYMBOL})"
_APPLIED = r"(?:[fghpqrstuvA-Z]|\\Pr?|Var|Pr|gcd|lcm)'{0,2}(?:_[0-9A-Za-z])?\([^()=]{1,20}(?:=[0-9]{1,4})?\)"
_ABSOLUTE = r"(?:\||\\lvert ?|\\vert ?)[A-Za-z]{1,3}(?:\||\\rvert|\\vert)|\[[A-Z]{3,4}\]"
_TOGETHER = rf"{_SYMBOL}(?:[-+]?{_SYMBOL}){{1,4}}|\\frac\{{?{_SYMBOL}\}}?\{{?{_SYMBOL}\}}?|{_SYMBOL}/{_SYMBOL}"
_NAME = re.compile("|".join((_SYMBOL, _WORDS, _DECORATED, rf"m{_DECORATED}", _TRIG, _APPLIED, _ABSOLUTE, _TOGETHER)))
_REPEATED = re.compile(r"\W*([A-Za-z])(?:\W*\1\W*)+")
_OPENS = re.compile(r"(?:[fghpqrstuvA-Z]|\\Pr?|Pr)\([A-Z]=[0-9]{1,4}\)")
_TUPLE_NAMED = re.compile(rf"\({_SYMBOL}(?:, ?{_SYMBOL})+\)=(\(.+\))")
_POINT = re.compile(r"[A-Z](?:_[0-9])?(\([^()]{1,80},[^()]{1,80}\))")
_LIST_NAME = re.compile(rf"({_SYMBOL}|[A-Z]{{2}})=(.{{1,200}})")
_SEPARATOR = re.compile(r"[,;] ?(?:and |or )?| ?\b(?:and|or)\b ?| ?\\quad ?")
_PLUS_MINUS = re.compile(r"\\pm ?|±")
MAX_NAME = 80
"""Characters of a name."""


def split_assignment(text: str) -> tuple[str | None, str]:
    """The name and the value of `x=5`, `f(x)=2x`, `a+b=5` or `total=5`; None and the text else, as for `not x=5`."""
    opening = _OPENS.match(text)
    name, sign, value = text[opening.end() :].partition("=") if opening else text.partition("=")
    name = (opening[0] if opening else "") + name.removesuffix(":")
    if not sign or "=" in value or not value.strip() or not 1 <= len(name.strip()) <= MAX_NAME:
        return None, text
    words = [word for word in name.lower().split() if len(word) > 1]
    if _NAME.fullmatch(name.strip()) is None or _REPEATED.fullmatch(name) or ALTERING_WORDS.intersection(words):
        return None, text
    return re.sub(r"[\\{} ]", "", name), value.strip()


def without_names(text: str) -> str | None:
    """The list that `(x,y)=(2,-1)`, `y=-1, x=2`, `P(2,-1)` or `x=2 or x=3` state; None for anything else.

    Several names make a tuple in the order of the names, one name a list without an order.
    """
    if match := _TUPLE_NAMED.fullmatch(text) or _POINT.fullmatch(text):
        return match[1]
    parts = [part.strip() for part in _SEPARATOR.split(text)]
    named = [match for match in map(_LIST_NAME.fullmatch, parts) if match]
    if len(named) != len(parts) or len(parts) < 2:
        return None
    values = {match[1]: match[2] for match in named}
    if len(values) == 1:
        return ", ".join(match[2] for match in named)
    if re.search(r"\bor\b", text):
        return None
    return f"({', '.join(values[name] for name in sorted(values))})" if len(values) == len(parts) else None


def names_in(text: str) -> frozenset[str]:
    """The names that `x=2, y=-1` gives values to; none for anything else."""
    named = [_LIST_NAME.fullmatch(part.strip()) for part in _SEPARATOR.split(text)]
    return frozenset(match[1] for match in named if match)


def without_plus_minus(text: str) -> str:
    r"""`2\pm\sqrt{3}` as the list of the two values that it stands for; the text itself where it has no such sign."""
    if len(_PLUS_MINUS.findall(text)) != 1 or re.search(r"[,()\[\]]", text):
        return text
    plus = re.sub(r"(?<![^=])\+", "", _PLUS_MINUS.sub("+", text))
    return f"{plus}, {_PLUS_MINUS.sub('-', text)}"


def as_list(text: str) -> str:
    """`2, 3 and 5` or `2; 3 or 5` with commas alone, for a gold that is a list."""
    return re.sub(r",? ?\b(?:and|or)\b ?|; ?", ", ", text).strip()
