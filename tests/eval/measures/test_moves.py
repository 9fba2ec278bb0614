"""The moves of a search stand where the text has them, and say what the tallies of the meter say."""

import random

import pytest

from doubleback.eval.measures.backtracking import replay as replay_countdown
from doubleback.eval.measures.deduction import replay as replay_knights
from doubleback.recipes.pretrain.traces import TraceType
from doubleback.recipes.tasks.countdown.traces import make_trace
from doubleback.recipes.tasks.task import all_moves
from doubleback.rewards.builtin.countdown import all_problems


def read(moves, text):
    return [(text[m.start : m.end], m.depth, m.leaves, m.fault, m.check, m.is_check_true) for m in moves]


def test_the_moves_of_a_countdown_search():
    text = "<think> 12 - 9 = 3 : 7 - 3 = 4 no 7 + 3 = 28 yes back 5 + 5 = 10 : 7 + 12 = 20 : </think>"
    assert read(replay_countdown(text, (9, 7, 12), 28).moves, text) == [
        ("12 - 9 = 3 :", 0, "3 7", "", "", None),
        ("7 - 3 = 4 no", 1, "4", "", "no", True),
        ("7 + 3 = 28 yes", 1, "28", "makes 10", "yes", True),
        ("5 + 5 = 10 :", 0, "", "no such numbers are left", "", None),
        ("7 + 12 = 20 :", 0, "9 20", "makes 19", "", None),
    ]


def test_the_moves_of_a_deduction():
    statements = ["B-lies", "A C alike", "A-honest or B-lies"]
    text = (
        "<think> if A-knight A: B-lies so B-knave B: A C alike so C-knight B: yes back if A-knave A: yes A: so B-knight"
    )
    assert read(replay_knights(text, statements).moves, text) == [
        ("if A-knight", 0, "4 worlds open", "", "", None),
        ("A: B-lies so B-knave", 1, "2 worlds open", "", "", None),
        ("B: A C alike so C-knight", 1, "1 world open", "does not follow", "", None),  # B lies: C is a knave
        ("B: yes", 1, "1 world open", "", "yes", False),
        ("if A-knave", 0, "4 worlds open", "", "", None),
        ("A: yes", 1, "4 worlds open", "", "yes", False),  # it settles B
        ("A: so B-knight", 1, "2 worlds open", "", "", None),
    ]


def test_the_moves_of_a_sum():
    columns, text = {"chain": [7, 12, -3]}, "7 + 12 = 19 and 19 - 3 = 15"
    (sums,) = [moves for moves in all_moves() if moves.fits(columns)]
    assert read(sums.of(columns, text), text) == [
        ("7 + 12 = 19", 0, "19", "", "", None),
        ("19 - 3 = 15", 0, "15", "makes 16", "", None),
    ]
    assert not sums.fits({"chain": "7 + 12"})


@pytest.mark.parametrize("seed", range(3))
def test_as_many_moves_as_the_meter_counts(seed):
    for problem in random.Random(seed).sample(all_problems(3), 20):
        text = make_trace(problem, TraceType.SHORT, random.Random(seed))
        result = replay_countdown(text, problem.columns["numbers"], problem.columns["target"])
        assert len(result.moves) == result.num_steps > 1
        assert sum(move.check != "" for move in result.moves) == result.num_checks
        assert sum(move.is_check_true is False for move in result.moves) == result.num_false_checks
        assert max(move.depth for move in result.moves) == 1
