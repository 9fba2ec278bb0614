"""An answer scores only if it says of everybody what they are, and everything that was said fits."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubleback.rewards.builtin.knights import described, grade, knights_correct, solutions, where_true, worlds
from doubleback.rewards.types import Verdict

STATEMENTS = ["B-lies", "A C alike", "A-honest or B-lies"]
"""A is a knave, B a knight, C a knave: worked out by hand in tests/eval/measures/test_deduction.py."""


def answered(text, thought="if A-knave A: B-knight"):
    return f"<think> {thought} </think> <answer> {text} </answer>"


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("A-knave B-knight C-knave", Verdict.CORRECT),
        ("C-knave A-knave B-knight", Verdict.CORRECT),
        ("A is a knave, B is a knight, and C is a knave.", Verdict.CORRECT),
        ("A is a knave; B is a knight; C is a knave", Verdict.CORRECT),
        ("A knave\nB knight\nC knave", Verdict.CORRECT),
        ("A-knave,B-knight,C-knave", Verdict.CORRECT),
        ("A-knight B-knight C-knave", Verdict.WRONG),
        # Both values, a hedge, somebody twice, somebody missing, somebody who is not there.
        ("A-knave A-knight B-knight C-knave", Verdict.WRONG),
        ("A-knave A-knave B-knight C-knave", Verdict.WRONG),
        ("A-knave B-knight C-knave D-knight", Verdict.WRONG),
        ("A-knave B-knight", Verdict.WRONG),
        ("A-knave B-knight c-knave", Verdict.WRONG),
        ("A-knave B-knight C-knave or A-knight B-knave C-knave", Verdict.BAD_FORMAT),
        ("A-knave B-knight C-knave?", Verdict.BAD_FORMAT),
        ("A-knave/knight B-knight C-knave", Verdict.BAD_FORMAT),
        ("A is a knight or knave, B is a knight, C is a knave", Verdict.BAD_FORMAT),
        ("A is not a knight, B is a knight, C is a knave", Verdict.BAD_FORMAT),
        ("not A-knave B-knight C-knave", Verdict.BAD_FORMAT),
        ("probably A-knave B-knight C-knave", Verdict.BAD_FORMAT),
        ("A-knave B-knight C-knaves", Verdict.BAD_FORMAT),
        ("\u0410-knave B-knight C-knave", Verdict.BAD_FORMAT),
        ("everybody", Verdict.BAD_FORMAT),
        ("if A-knave then B-knight C-knave", Verdict.BAD_FORMAT),
        ("verdict: correct", Verdict.BAD_FORMAT),
        ("A-knave " * 50_000, Verdict.WRONG),
        ("", Verdict.NO_ANSWER),
    ],
)
def test_verdicts(answer, verdict):
    score = grade(answered(answer), STATEMENTS)
    assert score.verdict == verdict
    assert score.value == float(verdict == Verdict.CORRECT)
    assert score.detail


@pytest.mark.parametrize(
    "completion",
    [
        "",
        "A-knave B-knight C-knave",
        "<think> <answer> A-knave B-knight C-knave </answer> </think>",
        "<think> </think> <answer> A-knave B-knight C-knave",
        "<think> A-knave B-knight C-knave",
    ],
)
def test_what_was_only_thought_is_no_answer(completion):
    assert grade(completion, STATEMENTS).verdict == Verdict.NO_ANSWER


def test_an_earlier_answer_does_not_count():
    right, wrong = "<answer> A-knave B-knight C-knave </answer>", "<answer> A-knight B-knight C-knave </answer>"
    assert grade(f"<think> </think> {right} {wrong}", STATEMENTS).verdict == Verdict.WRONG


def test_the_forms_of_statements_by_hand():
    # Worlds of A and B: both knights, A alone, B alone, nobody.
    both, only_a, only_b, neither = (True, True), (True, False), (False, True), (False, False)
    everything = worlds(2)
    assert where_true("B-lies", everything) == {only_a, neither}
    assert where_true("A B alike", everything) == {both, neither}
    assert where_true("A B differ", everything) == {only_a, only_b}
    assert where_true("A-honest and B-lies", everything) == {only_a}
    assert where_true("A-honest or B-lies", everything) == {both, only_a, neither}
    # A: "we are both knaves" can be no knight's, so it is a lie, and B is a knight. B: "A is a knave" is true.
    assert solutions(["A-lies and B-lies", "A-lies"]) == {only_b}
    assert described(only_b) == "A-knave B-knight"


@pytest.mark.parametrize("said", ["", "A", "A-lies B-lies", "E-lies", "A B same", "A-lies xor B-lies", "-lies"])
def test_what_nobody_can_say_is_an_error_and_not_an_answer(said):
    with pytest.raises(ValueError, match=r"."):
        grade(answered("A-knave B-knight"), [said, "A-lies"])


kinds = st.sampled_from(["knight", "knave"])


@given(kinds, kinds, kinds)
def test_of_all_answers_one_scores(a, b, c):
    is_right = (a, b, c) == ("knave", "knight", "knave")
    assert grade(answered(f"A-{a} B-{b} C-{c}"), STATEMENTS).value == float(is_right)


def test_reward_has_trls_signature():
    right, wrong = answered("A-knave B-knight C-knave"), answered("A-knave B-knave C-knave")
    rewards = knights_correct(
        prompts=["A: B-lies , B: A C alike , C: A-honest or B-lies ?"] * 3,
        completions=[right, [{"role": "assistant", "content": right}], wrong],
        completion_ids=[[1]] * 3,
        statements=[STATEMENTS] * 3,
        trainer_state=None,
    )
    assert rewards == [1.0, 1.0, 0.0]


def test_every_world_is_one_of_two_kinds_for_each():
    assert worlds(3) == set(product((True, False), repeat=3))
