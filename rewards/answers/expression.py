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
