"""A closing remark takes no answer away, and a sentence that takes one back does."""

import pytest

from doubleback.rewards.answers.extract import Style, extract
from doubleback.rewards.answers.grade import grade_cheaply
from doubleback.rewards.types import Verdict


@pytest.mark.parametrize(
    "remark",
    [
        "Hope this answer is helpful!",
        "Let me know if the answer is unclear.",
        "This answer is correct because 60 + 12 = 72.",
        "The answer is obtained by adding both months.",
    ],
)
def test_a_remark_states_no_answer(remark):
    assert extract(f"The answer is 72. {remark}").answer == "72"
    assert extract(f"The answer is 72.\n\n{remark}", Style.ANSWER_IS).answer == "72"


@pytest.mark.parametrize("denial", ["The answer is not 72.", "The answer is unknown.", "The answer is wrong."])
def test_a_denial_is_no_remark(denial):
    assert extract(f"The answer is 72. {denial}").answer != "72"


@pytest.mark.parametrize(
    "afterword", ["Wait, it should be 73 instead.", "Actually no, it must be 73.", "Correction: 73.", "Hmm. It is 73."]
)
def test_an_answer_may_be_taken_back(afterword):
    for text in ("The answer is 72. ", "\\boxed{72}. ", "<answer> 72 </answer> ", "#### 72\n"):
        assert extract(text + afterword).verdict is Verdict.WRONG


def test_a_check_of_the_same_value_takes_nothing_back():
    assert extract("\\boxed{72}. Wait, let me recheck: 48 + 24 = 72. So it is 72.").answer == "72"


def test_boxes_may_state_a_list_together():
    text = "Anna has $\\boxed{12}$ and Ben has $\\boxed{15}$."
    assert grade_cheaply(text, "12, 15").verdict is Verdict.CORRECT
    assert grade_cheaply(text, "15, 12").verdict is Verdict.CORRECT
    assert grade_cheaply(text, "12, 16").verdict is Verdict.WRONG
    assert grade_cheaply(text, "15").verdict is Verdict.WRONG
    assert grade_cheaply(text, "12, 15, 18").verdict is Verdict.WRONG
    assert grade_cheaply(text, "(12, 15)").verdict is Verdict.WRONG


def test_an_exclamation_is_a_factorial_only_where_the_gold_is_one():
    assert grade_cheaply("The answer is 42!", "42").verdict is Verdict.CORRECT
    assert grade_cheaply("The answer is 42!", "42!").verdict is Verdict.CORRECT
    assert grade_cheaply("<answer>42!</answer>", "42").verdict is Verdict.WRONG


def test_a_gold_keeps_all_its_digits():
    assert grade_cheaply(f"\\boxed{{{2**100}}}", 2**100).verdict is Verdict.CORRECT
    assert grade_cheaply(f"\\boxed{{{2**100 + 1}}}", 2**100).verdict is Verdict.WRONG
    assert grade_cheaply("\\boxed{1267650600228229401496703205000}", 2**100).verdict is Verdict.WRONG
