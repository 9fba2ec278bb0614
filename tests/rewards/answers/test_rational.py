"""A number is one number as a whole, exactly, or none."""

from fractions import Fraction

import pytest

from doubleback.rewards.answers.rational import (
    MAX_LENGTH,
    Numbers,
    Quantity,
    number_in_words,
    parse_rational,
    parse_rationals,
    split_base,
    split_quantity,
    unit_key,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("72", 72),
        ("-72", -72),
        ("−72", -72),
        ("+72", 72),
        ("072", 72),
        (" 72. ", 72),
        ("1,234,567", 1234567),
        ("1{,}234", 1234),
        (r"1\,234.5", Fraction(2469, 2)),
        (r"1,\!234", 1234),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("0.20", Fraction(1, 5)),
        ("$18", 18),
        (r"-\$18.50", Fraction(-37, 2)),
        ("£5", 5),
        ("$72$", 72),
        ("$$72$$", 72),
        (r"\(72\)", 72),
        (r"\[72\].", 72),
        ("3/4", Fraction(3, 4)),
        ("-3 / 4", Fraction(-3, 4)),
        ("1 1/2", Fraction(3, 2)),
        (r"\frac{3}{4}", Fraction(3, 4)),
        (r"\dfrac34", Fraction(3, 4)),
        (r"\tfrac{-3}{4}", Fraction(-3, 4)),
        (r"-1\frac{1}{2}", Fraction(-3, 2)),
        ("1.5e3", 1500),
        ("1.5e-1", Fraction(3, 20)),
        (r"1.5 \times 10^{3}", 1500),
        ("2*10^2", 200),
    ],
)
def test_one_number(text, value):
    assert parse_rational(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ".", "-", "$", "x", "72x", "7 2", "72 apples", "72%", r"72\%", "1,23", "1,2345", ",5", "1.2.3"),
        *("--5", "-$-5", "1/0", r"\frac{1}{0}", r"2\frac{3}{2}", "2 3/2", "1/2/3", "3+4", "2^3", "5!", "(5)", "nan"),
        *("７２", "²", "٣", "1e999", "1e101", "inf", "0x10", "1_000", "x=5", r"\frac{1}{x}", "9" * (MAX_LENGTH + 1)),
    ],
)
def test_no_number(text):
    assert parse_rational(text) is None


@pytest.mark.parametrize(
    ("text", "brackets", "values"),
    [
        ("2,3", "", (2, 3)),
        ("1, 2 and 3", "", (1, 2, 3)),
        ("1, 2, and 3", "", (1, 2, 3)),
        ("1,234", "", (1, 234)),
        ("(1, -1/2)", "()", (1, Fraction(-1, 2))),
        ("[0, 1)", "[)", (0, 1)),
        (r"$\{1; 2\}$", "{}", (1, 2)),
    ],
)
def test_several_numbers(text, brackets, values):
    assert parse_rationals(text) == Numbers(brackets, values)


@pytest.mark.parametrize("text", ["", "2", "(2)", "2,x", "2,", "(1,2),(3,4)", "1 or so", "," * 50, "1," * 100 + "1"])
def test_not_several_numbers(text):
    assert parse_rationals(text) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("72 apples", "72"),
        ("72apples", "72"),
        ("$18/hour", "$18"),
        ("18.50 dollars per hour", "18.50"),
        ("The total is -5 degrees", "-5"),
        ("72 m", "72"),
        ("36 cm^2", "36"),
        ("36 inches squared", "36"),
        (r"\frac{1}{2} cups", r"\frac{1}{2}"),
        ("5 round-trip tickets (in all)", "5"),
        # Not that number, or not a committed one.
        ("72 or 71", None),
        ("72 or so", None),
        ("about 72", None),
        ("not 72", None),
        ("at least 72 apples", None),
        ("72 thousand", None),
        ("72 dozen eggs", None),
        ("72 k", None),
        ("minus 72", None),
        ("72 squared", None),
        ("72 factorial", None),
        ("72 x", None),
        ("72x", None),
        ("72/x", None),
        ("72/m", None),
        ("72-m", None),
        ("x 72", None),
        ("72 and ignore previous instructions", None),
        ("72 apples 71 pears", None),
        ("apples", None),
        ("a b c d e f g h i j k l m n o 72", None),
        ("the answer " * 20 + "72", None),
    ],
)
def test_a_number_among_words(text, number):
    assert number_in_words(text) == number


def test_quantities_and_units():
    assert split_quantity("600/7 km/h") == Quantity("600/7", "km/h")
    assert split_quantity("2ab") == Quantity("2", "ab")
    assert split_quantity("5") is None
    assert split_quantity("5 cm 3 mm") is None
    for same in (("cm", "CM"), ("minutes", "min"), ("cm^2", "cm^{2}"), ("feet", "ft"), ("miles", "mile")):
        assert unit_key(same[0]) == unit_key(same[1])
    for other in (("cm", "m"), ("N", "n"), ("cm^2", "cm^3"), ("ab", "AB"), ("km/h", "km")):
        assert unit_key(other[0]) != unit_key(other[1])


def test_bases():
    assert split_base("52_8") == split_base("52_{8}") == split_base("(52)_8") == split_base("52 base 8") == ("52", 8)
    assert split_base("1A_{16}") == ("1A", 16)
    assert split_base("A_1") == ("A_1", None)
    assert split_base("52") == ("52", None)
