"""A relation of several variables is the same however it is arranged; an equation to solve is not its solution."""

import pytest

from doubleback.rewards.answers.equality import compare

LINE = "y=2x+1"


@pytest.mark.parametrize(
    ("candidate", "gold"),
    [
        *((text, LINE) for text in ("2x-y+1=0", "y-1=2x", "1+2x=y", "2y = 4x+2", r"x=\frac{y-1}{2}", "-2x+y=1")),
        *(("x^2+y^2-25=0", "x^2+y^2=25"), (r"3x^2+4y^2=12", r"\frac{x^2}{4}+\frac{y^2}{3}=1")),
        *(("2x^2+6x+4=0", "x^2+3x+2=0"), ("y-2x>1", "y>2x+1"), ("2x+1<y", "y>2x+1"), (r"-y\le -x", r"y\ge x")),
    ],
)
def test_a_relation_is_the_same_in_any_arrangement(candidate, gold):
    assert compare(candidate, gold).is_equal


@pytest.mark.parametrize(
    ("candidate", "gold"),
    [
        *((text, LINE) for text in ("2x-y-1=0", "x=2y+1", "0=0", "y=y", "y^2=(2x+1)^2", "y=2x+1=0", "(y-2x-1)x=0")),
        *(("2x=10", "x=5"), ("x-5=0", "x=5"), ("2x=10", "5"), ("y-2x<1", "y>2x+1"), ("2y>4x", "y>2x+1")),
        *(("x^2-y^2=25", "x^2+y^2=25"), ("x^2+3x=2", "x^2+3x+2=0"), (r"y>2x+1", r"y\ge 2x+1")),
    ],
)
def test_another_relation_or_one_to_solve(candidate, gold):
    assert compare(candidate, gold).is_equal is not True


def test_a_relation_of_the_question_rearranged_is_no_answer():
    question = "Solve 2x - y + 1 = 0 for y."
    assert compare("y - 2x = 1", LINE, question).is_equal is not True
    assert compare("2x - y + 1 = 0", LINE, question).is_equal is not True
    assert compare("y = 1 + 2x", LINE, question).is_equal
