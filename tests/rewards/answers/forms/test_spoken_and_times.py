"""Numbers that are written out, times of day and dates are read as what they say, and nothing else is."""

from fractions import Fraction

import pytest

from doubleback.rewards.answers.equality import compare
from doubleback.rewards.answers.forms.spoken import number_of_words, spoken_rational
from doubleback.rewards.answers.forms.times import as_moment


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("twelve", 12), ("Forty-two", 42), ("a hundred", 100), ("one hundred and twenty", 120), ("zero", 0)),
        *(("two thousand one hundred and five", 2105), ("two thousand five", 2005), ("five hundred", 500)),
        ("nine hundred ninety-nine thousand nine hundred ninety-nine", 999_999),
        *(
            ("twelve hundred", None),
            ("hundred", None),
            ("one or two", None),
            ("twenty eleven", None),
            ("twelfth", None),
        ),
        *(("", None), ("zero hundred", None), ("two hundred thousand million", None)),
    ],
)
def test_numbers_in_words(text, value):
    assert number_of_words(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("two thirds", Fraction(2, 3)), ("two-thirds", Fraction(2, 3)), ("a half", Fraction(1, 2))),
        *(("one and a half", Fraction(3, 2)), ("three quarters", Fraction(3, 4)), ("two halves", None), ("half", None)),
    ],
)
def test_parts_in_words(text, value):
    assert spoken_rational(text) == value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("3:45 p.m.", "3:45 PM"), ("15:45", "3:45 PM"), ("at 3:45pm", "3:45 PM"), ("12:30 PM", "12:30")),
        *(("12:15 AM", "0:15"), ("7 a.m.", "7:00 AM"), ("on March 5th", "March 5"), ("5 March", "Mar. 5")),
        *(("Tuesday, June 20, 2023", "20 June 2023"), ("the 4th of July", "July 4")),
    ],
)
def test_one_time_written_in_two_ways(one, other):
    assert as_moment(one) == as_moment(other) is not None
    assert compare(one, other).is_equal


@pytest.mark.parametrize(
    ("candidate", "gold"),
    [
        *(("3:45 AM", "3:45 PM"), ("3:54 PM", "3:45 PM"), ("3:45", "3:45 PM"), ("15:45 PM", "3:45 PM")),
        *(("March 6", "March 5"), ("May 5", "March 5"), ("March 5, 2020", "March 5, 2021"), ("March", "March 5")),
    ],
)
def test_another_time(candidate, gold):
    assert compare(candidate, gold).is_equal is not True
