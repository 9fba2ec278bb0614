"""Exact value of an infix expression of integers, and the integers it used.

Grammar (no unary sign, so that a number enters only as itself):

    sum     = product (("+" | "-") product)*
    product = atom (("*" | "/") atom)*
    atom    = digits | "(" sum ")"

The text comes from a model under optimisation pressure: it is parsed here and never given to `eval`. Length and depth
are limited, so the worst input costs microseconds.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

MAX_LENGTH = 512
"""Characters. Bounds the size of every integer too."""
MAX_DEPTH = 32
"""Nested parentheses."""

_OPERATOR_SPELLINGS = str.maketrans({"×": "*", "÷": "/", "−": "-"})
# [0-9], not \d: \d accepts digits of other scripts, which look unlike the numbers that were given.
_TOKEN = re.compile(r"\s*([0-9]+|[-+*/()])")


class ExpressionError(ValueError):
    """The text is not an expression, or has no value."""


class DivisionByZeroError(ExpressionError):
    """The text is an expression that divides by zero."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression, evaluated exactly."""

    value: Fraction
    """For "( 7 + 12 ) / 2": 19/2."""
    numbers: tuple[int, ...]
    """The integers in order of appearance, repeats kept: (7, 12, 2)."""


def parse_expression(text: str) -> Expression:
    """The value and numbers of `text`; spaces are optional, `×`, `÷` and `−` count as operators.

    Raises ExpressionError where the text is malformed, too long or too deep, DivisionByZeroError where it divides by
    zero.
    """
    tokens = _tokenize(text)
    value, end = _parse_sum(tokens, 0, depth=0)
    if end != len(tokens):
        raise ExpressionError(f"unexpected {tokens[end]!r} after a complete expression")
    numbers = tuple(int(token) for token in tokens if token.isdigit())
    return Expression(value, numbers)


def _tokenize(text: str) -> list[str]:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"{len(text)} characters, more than {MAX_LENGTH}")
    plain = text.translate(_OPERATOR_SPELLINGS).rstrip()
    tokens, position = [], 0
    while position < len(plain):
        match = _TOKEN.match(plain, position)
        if match is None:
            raise ExpressionError(f"unexpected {plain[position:].lstrip()[0]!r}")
        tokens.append(match[1])
        position = match.end()
    return tokens


def _divide(left: Fraction, right: Fraction) -> Fraction:
    if right == 0:
        raise DivisionByZeroError("division by zero")
    return left / right


_OPERATIONS: Mapping[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": Fraction.__add__,
    "-": Fraction.__sub__,
    "*": Fraction.__mul__,
    "/": _divide,
}


def _parse_sum(tokens: list[str], position: int, depth: int) -> tuple[Fraction, int]:
    value, position = _parse_product(tokens, position, depth)
    while position < len(tokens) and tokens[position] in "+-":
        operation = _OPERATIONS[tokens[position]]
        right, position = _parse_product(tokens, position + 1, depth)
        value = operation(value, right)
    return value, position


def _parse_product(tokens: list[str], position: int, depth: int) -> tuple[Fraction, int]:
    value, position = _parse_atom(tokens, position, depth)
    while position < len(tokens) and tokens[position] in "*/":
        operation = _OPERATIONS[tokens[position]]
        right, position = _parse_atom(tokens, position + 1, depth)
        value = operation(value, right)
    return value, position


def _parse_atom(tokens: list[str], position: int, depth: int) -> tuple[Fraction, int]:
    if position == len(tokens):
        raise ExpressionError("ends where a number or '(' should stand")
    token = tokens[position]
    if token.isdigit():
        return Fraction(int(token)), position + 1
    if token != "(":
        raise ExpressionError(f"{token!r} where a number or '(' should stand")
    if depth == MAX_DEPTH:
        raise ExpressionError(f"more than {MAX_DEPTH} nested parentheses")
    value, position = _parse_sum(tokens, position + 1, depth + 1)
    if position == len(tokens) or tokens[position] != ")":
        raise ExpressionError("'(' without ')'")
    return value, position + 1


MAX_LINKS = 8
"""Equality signs of a chain."""
_DECIMAL = re.compile(r"([0-9]{0,20})\.([0-9]{1,20})")
_GROUPED = re.compile(r"(?<![0-9])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])")
_NAME_BEFORE = re.compile(r"^[A-Za-z][A-Za-z ]{0,40}=(?=[^=]*=)")
_FRACTION = re.compile(r"\\frac ?\{([0-9]{1,20})\} ?\{([0-9]{1,20})\}")
_TIMES = re.compile(r"\\(?:times|cdot|ast) ?")
_DIVIDED = re.compile(r"\\div ?")
_UNIT_BEHIND = re.compile(r"(?<=[0-9]) ?[a-z]{2,12}$")


def end_of_chain(text: str) -> str | None:
    r"""The last side of `17 - 5 = 12` or `x = 5 + 5 + 1 = 11`, where exact arithmetic makes all sides equal.

    None for anything else: a link that is false, a side that is no arithmetic, a last side that is not evaluated. So
    the last side alone is the answer, and what stands before it is how the answer was found.
    """
    sides = _NAME_BEFORE.sub("", text, count=1).split("=")
    last = sides[-1].strip()
    if not 2 <= len(sides) <= MAX_LINKS + 1 or re.search(r"[+*()^]|(?<=[0-9]) ?-|\\(?:times|cdot|div)", last):
        return None
    try:
        values = {_side_value(side) for side in (*sides[:-1], _UNIT_BEHIND.sub("", last))}
    except ExpressionError:
        return None
    return last if len(values) == 1 else None


def _side_value(side: str) -> Fraction:
    plain = _GROUPED.sub(lambda match: match[0].replace(",", ""), side)
    plain = _FRACTION.sub(r"(\1/\2)", plain)
    plain = _DECIMAL.sub(lambda match: f"({int(match[1] + match[2])}/{10 ** len(match[2])})", plain)
    plain = _DIVIDED.sub("/", _TIMES.sub("*", plain)).strip()
    plain = plain.replace("(-", "(0-")
    return parse_expression(f"0{plain}" if plain.startswith(("-", "+")) else plain).value


_LESS = {"<": ")", "\\le": "]"}
_MORE = {">": "(", "\\ge": "["}
_RELATION = re.compile(r"(<|>|\\le(?![A-Za-z])|\\ge(?![A-Za-z]))")
_BOUND = re.compile(
    r"-?(?:[0-9]{1,20}(?:\.[0-9]{1,20})?|\\infty|\\frac\{[0-9]{1,20}\}\{[0-9]{1,20}\}|[0-9]{1,20}/[0-9]{1,20})"
)
_OPEN_INTERVAL = re.compile(r"([\])\[(])([^\[\]()]{1,80}),([^\[\]()]{1,80})([\])\[(])")


def as_interval(text: str) -> str:
    r"""The interval that an inequality of one variable states: `x>3` is `(3,\infty)`, `-2\le x<5` is `[-2,5)`,
    `]3,4[` is `(3,4)`, and `x<1 or x>4` a union. The text itself where it is no such thing. `text` is normalised.
    """
    parts = re.split(r" ?\bor\b ?|\\lor ?|\\cup ?", text)
    found = [_one_interval(part.strip()) for part in parts]
    names = {name for _, name in found if name}
    if len(names) > 1 or any(interval is None for interval, _ in found):
        return text
    return "\\cup".join(interval for interval, _ in found if interval)


def _one_interval(text: str) -> tuple[str | None, str]:
    """The interval and the name of its variable; None where the text states none."""
    if match := _OPEN_INTERVAL.fullmatch(text):
        left, right = {"]": "("}.get(match[1], match[1]), {"[": ")"}.get(match[4], match[4])
        is_one = left in "([" and right in ")]"
        return (f"{left}{match[2].strip()},{match[3].strip()}{right}" if is_one else None), ""
    sides = [side.strip() for side in _RELATION.split(text)]
    if len(sides) == 3 and re.fullmatch("[A-Za-z]", sides[2]):
        turned = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}[sides[1]]
        sides = [sides[2], turned, sides[0]]
    if len(sides) == 3 and re.fullmatch("[A-Za-z]", sides[0]) and _BOUND.fullmatch(sides[2]):
        is_above = sides[1] in _MORE
        interval = f"{_MORE[sides[1]]}{sides[2]},\\infty)" if is_above else f"(-\\infty,{sides[2]}{_LESS[sides[1]]}"
        return interval, sides[0]
    if (
        len(sides) == 5
        and re.fullmatch("[A-Za-z]", sides[2])
        and _BOUND.fullmatch(sides[0])
        and _BOUND.fullmatch(sides[4])
    ):
        if sides[1] in _LESS and sides[3] in _LESS:
            return f"{'(' if sides[1] == '<' else '['}{sides[0]},{sides[4]}{_LESS[sides[3]]}", sides[2]
        if sides[1] in _MORE and sides[3] in _MORE:
            return f"{_MORE[sides[3]]}{sides[4]},{sides[0]}{')' if sides[1] == '>' else ']'}", sides[2]
    return None, ""
