"""Polynomials are equal exactly where their coefficients are; anything else is none, and none is large."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.work import require_linear

from doubleback.rewards.answers.equality import compare
from doubleback.rewards.answers.forms.polynomial import MAX_TERMS, constant, is_proportional, parse_polynomial


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("2ba", "2ab"), (r"2a\cdot b", "2ab"), ("(x+1)^2", "x^2+2x+1"), ("(x+1)(x-1)", "x^2-1"), ("x x", "x^2")),
        *((r"\frac{x+1}{2}", r"\frac12x+\frac12"), ("x/2", "0.5x"), ("-(x-3)", "3-x"), (r"\pi r^2", r"r^2\pi")),
        *(("x^{12}", "(x^{6})^2"), ("x_1+x_2", "x_2+x_1"), ("3x-3x", "0"), ("{1}/{2}x", r"\frac{1}{2}x")),
    ],
)
def test_one_polynomial_written_in_two_ways(one, other):
    assert parse_polynomial(one) == parse_polynomial(other) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [("2ab", "2a+b"), ("2ab", "2aB"), ("x^2", "2x"), ("(x+1)^2", "x^2+1"), ("x_1", "x_2"), ("x-1", "1-x"), ("ab", "a")],
)
def test_two_polynomials(one, other):
    assert parse_polynomial(one) != parse_polynomial(other)
    assert compare(one, other).is_equal is not True


@pytest.mark.parametrize(
    "text",
    [
        *("", "7 2", "x2", "1/2x", "x^12", "x/y", "5/0", "0^0", "x^{-1}", "x^", "2(", "()", "(x]", "x!", "x=1", "+"),
        *("sin x", "x and y", "5 cm", "words", r"\sqrt{x}", r"\sin x", "x^{17}", "(a+b+c+d)^{9}", "(" * 30 + "x"),
        *("9^{64}" * 20, "x" * 300),
    ],
)
def test_anything_else_is_no_polynomial(text):
    assert parse_polynomial(text) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2(5+7)^2-1", 287),
        ("-2^2", -4),
        (r"\frac{3}{4}-0.75", 0),
        ("2^{-1}", Fraction(1, 2)),
        ("x", None),
        ("x-x+1", 1),
    ],
)
def test_arithmetic_on_numbers(text, value):
    assert constant(text) == value


@pytest.mark.slow
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=6), st.integers(-9, 9))
def test_a_polynomial_and_its_terms_in_another_order(coefficients, factor):
    terms = [f"({coefficient})x^{{{power}}}" for power, coefficient in enumerate(coefficients, 1)]
    one, other = parse_polynomial("+".join(terms)), parse_polynomial("+".join(reversed(terms)))
    assert one == other
    multiple = parse_polynomial(f"({factor})({'+'.join(terms)})")
    assert is_proportional(one, multiple) == (factor if factor and one else None)


def test_products_stay_within_their_limits():
    letters = "abcdfghjklmnpqrstuvwxyz"
    for text in ("(" + "+".join(letters[:10]) + ")", "(a+b+c+d+f+g)", "(x+1)", "9^{60}"):
        value = parse_polynomial((text * 20)[:200])
        assert value is None or len(value) <= MAX_TERMS


@pytest.mark.parametrize("piece", ["x+", "(", "x", "1", r"\frac", "^", "2x^2-"])
def test_reading_takes_linear_time(piece):
    require_linear(parse_polynomial, lambda size: piece * (size // len(piece)))
