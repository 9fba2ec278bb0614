"""Inequalities, sets with a condition and intervals of one variable are read as one set."""

import pytest

from doubleback.rewards.answers.forms.intervals import as_interval


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        *(("x>3", r"(3,\infty)"), ("3<x", r"(3,\infty)"), (r"x\le 3", r"(-\infty,3]"), (r"]3,\infty[", r"(3,\infty)")),
        *((r"-2\le x<5", "[-2,5)"), (r"5>x\ge -2", "[-2,5)"), ("x<1 or x>4", r"(-\infty,1)\cup(4,\infty)")),
        *((r"x\ge -2 and x\le 7", "[-2,7]"), (r"x<7 and x\ge -2", "[-2,7)"), (r"\{x|x>3\}", r"(3,\infty)")),
        *((r"\{x\in\mathbb{R}:x>3\}", r"(3,\infty)"), (r"(3,+\infty)", r"(3,\infty)")),
        *((r"x\ne 3", r"(-\infty,3)\cup(3,\infty)"), (r"\mathbb{R}\setminus\{3\}", r"(-\infty,3)\cup(3,\infty)")),
        *((r"x>1 and x>2", r"x>1 and x>2"), ("x>1 and y<2", "x>1 and y<2"), (r"\{x|y>3\}", r"\{x|y>3\}")),
        *(("x<1 or y>4", "x<1 or y>4"), ("5<x>2", "5<x>2"), ("72", "72"), ("x", "x")),
    ],
)
def test_an_inequality_is_its_interval(text, interval):
    assert as_interval(text) == interval
