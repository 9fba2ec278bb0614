"""A name before a value is one where nothing is left to solve, and several values are a list."""

import pytest

from doubleback.rewards.answers.equality import compare
from doubleback.rewards.answers.forms.names import split_assignment, without_names, without_plus_minus
from doubleback.rewards.answers.forms.reading import read_for


@pytest.mark.parametrize(
    "name",
    [
        *("k", "n", "x_1", "a_{10}", "f(2)", "f'(0)", "P(X=2)", r"P(A\cap B)", r"\tan\theta", r"\sin A", "total", "AB"),
        *("a+b", "m+n", "|AB|", "[ABC]", r"\angle ABC", r"m\angle ABC", r"\frac{a}{b}", "a/b", "m:"),
    ],
)
def test_a_name_may_stand_before_a_value(name):
    assert split_assignment(f"{name}=3")[1] == "3"
    assert compare(f"{name}=3", "3").is_equal
    assert compare("3", f"{name}=3").is_equal


@pytest.mark.parametrize(
    "left", ["2x", "x^2", "-x", r"\sqrt x", "1/x", "x+x", "xx", r"\log x", "x(3)", "not x", "73", "3+4", "x^3+y", "n!"]
)
def test_work_that_is_left_is_no_name(left):
    assert split_assignment(f"{left}=72") == (None, f"{left}=72")
    assert compare(f"{left}=72", "72").is_equal is not True


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        *(("(x,y)=(2,-1)", "(2,-1)"), ("y=-1, x=2", "(2, -1)"), ("P(2,-1)", "(2,-1)"), ("x=2 or x=3", "2, 3")),
        *(
            ("m=2 and n=3", "(2, 3)"),
            ("x=3;y=2", "(3, 2)"),
            ("x=3 or y=2", None),
            ("x=2", None),
            ("x=2, x=1, y=3", None),
        ),
    ],
)
def test_named_values_are_a_list(text, listed):
    assert without_names(text) == listed


def test_plus_minus_stands_for_two_values():
    assert without_plus_minus(r"\pm3") == "3, -3"
    assert without_plus_minus(r"1\pm\sqrt{2}") == r"1+\sqrt{2}, 1-\sqrt{2}"
    assert without_plus_minus(r"\pm3, 0") == r"\pm3, 0"
    assert compare(r"\pm 3", "3, -3").is_equal
    assert compare("3 and -3", r"\pm 3").is_equal
    assert compare(r"\pm 3", "3, -4").is_equal is not True
    assert compare("3", r"\pm 3").is_equal is not True


@pytest.mark.parametrize(
    ("given", "wanted", "read"),
    [
        *(("2,74", "2.74", "2.74"), ("2{,}74", "2.74", "2.74"), ("2, 74", "2.74", "2, 74"), ("2,740", "2.74", "2,740")),
        *(("2 to 3", "2:3", "2:3"), ("2 and 3", "2,3", "2, 3"), ("1 and 250", "1,250", "1 and 250")),
        *(("12 where n>0", "12", "12"), ("12 where n>0 or 13", "12", "12 where n>0 or 13")),
    ],
)
def test_an_answer_is_read_as_its_gold_wants_it(given, wanted, read):
    assert read_for(given, wanted) == (read, wanted)
