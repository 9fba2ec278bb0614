"""A measure that several tasks bring under one name is of each problem the one that reads its columns."""

from collections.abc import Sequence

from doubleback.eval.measures.measure import Measure, shared
from doubleback.recipes.tasks.task import shipped_measures

LENGTH = Measure("length", {"name": str}, lambda columns, text: len(columns["name"]))
TOTAL = Measure("sum", {"numbers": Sequence[int]}, lambda columns, text: sum(columns["numbers"]))


def test_a_shared_measure_reads_what_fits():
    both = shared([LENGTH, TOTAL])
    assert both.fits({"name": "three"})
    assert both.fits({"numbers": [1, 2]})
    assert not both.fits({"numbers": ["1"]})
    assert both.of({"name": "three"}, "") == 5
    assert both.of({"numbers": [1, 2]}, "") == 3
    assert both.label == "length"
    assert shared([TOTAL]) is TOTAL


def test_a_verified_backtrack_is_told_in_countdown_and_among_knights():
    measure = shipped_measures()["verified_backtrack"]
    countdown = "12 - 9 = 3 : 7 - 3 = 4 no back 7 + 12 = 19 : 19 + 9 = 28 yes </think> <answer> 7 + 12 + 9 </answer>"
    assert measure.of({"numbers": [9, 7, 12], "target": 28}, countdown)
    # "We are both knaves", says A: no knight would. So A is a knave, and B a knight, who says so.
    knights = "if A-knight A: no back if A-knave A: so B-knight B: yes </think> <answer> A-knave B-knight </answer>"
    columns = {"statements": ["A-lies and B-lies", "A-lies"], "level": 2}
    assert measure.fits(columns)
    assert measure.of(columns, knights)
    assert not measure.of(columns, countdown)
