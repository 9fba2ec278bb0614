"""A curve in characters: every point in its place, what falls together averaged, nothing where nothing was measured."""

import math

import pytest

from doubleback.eval.show.curve import Series, curve


def test_each_point_is_in_its_place():
    training = Series("training", [(0, 0.0), (5, 0.5), (10, 1.0)])
    validation = Series("validation", [(0, 1.0), (10, 1.0)])
    assert curve([training, validation], width=11, height=5) == [
        "  1 |●         ●",
        "    |",
        "0.5 |     ·",
        "    |",
        "  0 |·",
        "    +-----------",
        "     0        10",
        "     · training   ● validation",
    ]


def test_what_falls_into_one_column_is_averaged_and_one_value_stands_alone():
    rows = curve([Series("loss", [(0, 0.0), (1, 1.0), (2, 0.5), (100, 1.0)])], width=5, height=3, is_ascii=True)
    assert rows[:3] == ["  1 |    .", "0.5 |.", "  0 |"]
    assert curve([Series("loss", [(3, 2.0)])], width=5, height=3) == [
        "2.5 |",
        "  2 |·",
        "1.5 |",
        "    +-----",
        "     3",
        "     · loss",
    ]


@pytest.mark.parametrize("points", [[], [(1, None)], [(1, math.nan), (2, math.inf)]])
def test_nothing_is_drawn_of_nothing(points):
    assert curve([Series("a", points), Series("b", [])]) == []


def test_a_gap_stays_a_gap():
    rows = curve([Series("a", [(0, 1.0), (1, math.nan), (2, 1.0)])], width=3, height=3)
    assert rows[1] == "  1 |· ·"


def test_a_terminal_of_ascii_gets_ascii():
    rows = curve([Series("a", [(0, 1.0), (1, 2.0)]), Series("b", [(0, 2.0)])], is_ascii=True)
    assert "".join(rows).isascii()
    assert {".", "o"} <= set("".join(rows[:-1]))
