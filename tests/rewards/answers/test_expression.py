"""Expressions are valued exactly, used numbers are counted, and nothing but an expression gets through."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubleback.rewards.answers.expression import (
    MAX_DEPTH,
    MAX_LENGTH,
    DivisionByZeroError,
    ExpressionError,
    parse_expression,
)


@pytest.mark.parametrize(
    ("text", "value", "numbers"),
    [
        ("7", Fraction(7), (7,)),
        ("( 7 + 12 ) + 9", Fraction(28), (7, 12, 9)),
        ("(7+12)*9", Fraction(171), (7, 12, 9)),
        ("7 + 12 * 9", Fraction(115), (7, 12, 9)),
        ("10 - 4 - 3", Fraction(3), (10, 4, 3)),  # from the left: not 10 - (4 - 3) = 9
        ("12 / 3 / 2", Fraction(2), (12, 3, 2)),
        ("12 / (3 / 2)", Fraction(8), (12, 3, 2)),
        ("1 / 3 * 3", Fraction(1), (1, 3, 3)),  # exact: 0.999... in floating point arithmetic would not do
        ("8 × 3 ÷ 2 − 5", Fraction(7), (8, 3, 2, 5)),
        ("\t((4))\n*\u00a02 ", Fraction(8), (4, 2)),
        ("3 - 5", Fraction(-2), (3, 5)),
        ("007 + 1", Fraction(8), (7, 1)),
    ],
)
def test_value_and_numbers(text, value, numbers):
    expression = parse_expression(text)
    assert (expression.value, expression.numbers) == (value, numbers)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "()", "+", "3 +", "* 3", "(3", "3)", "( 3 + 4 ) )", "3 4", "(3)(4)", "3 ( 4 )"),
        *("-3 + 5", "+3", "3 + -5", "3 ** 2", "3 // 2", "3 % 2", "3 ^ 2", "3 = 3", "3.0", "1e3", "1_0", "0x10"),
        *("٣ + 4", "３ + 4", "² + 4", "Ⅳ + 4", "x", "__import__('os')", "3 if 1 else 4", "3 # 4", "\\frac{3}{4}"),
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ExpressionError):
        parse_expression(text)


@pytest.mark.parametrize("text", ["1 / 0", "4 / ( 3 - 3 )", "0 / 0"])
def test_division_by_zero_has_its_own_name(text):
    with pytest.raises(DivisionByZeroError, match="division by zero"):
        parse_expression(text)


def test_length_and_depth_end_at_their_limits():
    assert parse_expression("1" * MAX_LENGTH).numbers == (int("1" * MAX_LENGTH),)
    with pytest.raises(ExpressionError, match=f"{MAX_LENGTH + 1} characters"):
        parse_expression("1" * (MAX_LENGTH + 1))
    assert parse_expression("(" * MAX_DEPTH + "1" + ")" * MAX_DEPTH).value == 1
    with pytest.raises(ExpressionError, match="nested"):
        parse_expression("(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1))


Tree = tuple[str, Fraction | None, list[int]]


def _join(parts: tuple[Tree, str, Tree, str]) -> Tree:
    """Text, value and numbers of `(left) operator (right)`, valued by Python's own Fraction operators."""
    (left_text, left, left_numbers), operator, (right_text, right, right_numbers), space = parts
    text = f"({left_text}){space}{operator}{space}({right_text})"
    if left is None or right is None or (operator == "/" and right == 0):
        return text, None, left_numbers + right_numbers
    operate = {"+": Fraction.__add__, "-": Fraction.__sub__, "*": Fraction.__mul__, "/": Fraction.__truediv__}
    return text, operate[operator](left, right), left_numbers + right_numbers


trees = st.recursive(
    st.integers(0, 99).map(lambda number: (str(number), Fraction(number), [number])),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner, st.sampled_from(["", " "])).map(_join),
    max_leaves=12,
)


@given(trees)
def test_random_trees_have_the_value_of_fractions(tree):
    text, value, numbers = tree
    if value is None:
        with pytest.raises(DivisionByZeroError):
            parse_expression(text)
    else:
        expression = parse_expression(text)
        assert (expression.value, list(expression.numbers)) == (value, numbers)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("+-*")), min_size=1, max_size=12))
def test_precedence_is_pythons(items):
    text = "".join(f"{number}{operator}" for number, operator in items) + "1"
    assert parse_expression(text).value == eval(text)


@given(st.text(alphabet="0123456789+-*/() ×÷−٣x", max_size=40))
def test_any_text_is_valued_or_refused_by_name(text):
    try:
        parse_expression(text)
    except ExpressionError:
        return
    assert any(character in "0123456789" for character in text)
