"""An answer without a marker: in an object, at the end of a text, and before a run-on."""

import pytest
from support.work import require_linear

from doubleback.rewards.answers.extract import Style, extract
from doubleback.rewards.answers.places.objects import answer_of_object
from doubleback.rewards.answers.places.run_on import before_run_on
from doubleback.rewards.types import Verdict


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        *(('{"answer": 34}', "34"), ('{"answer": "34"}', "34"), ('```json\n{"answer": 34.50}\n```', "34.50")),
        *(('So:\n{"thought": "2 * 17", "final_answer": "34"}', "34"), ('{"answer": [1, 2]}', "1, 2")),
        *(('{"answer": "\\frac{1}{2}"}', "\\frac{1}{2}"), ('{"answer": "\\\\frac{1}{2}"}', "\\frac{1}{2}")),
        *(('{"reasoning": "\\boxed{48}", "answer": 34}', "34"), ('{"steps": {"answer": 35}, "answer": 34}', "34")),
        # Two answers, none, or one that is neither text nor a number.
        *(('{"answer": 34, "answer": 35}', ""), ('{"hint": 34}', ""), ('{"answer": null}', ""), ('{"answer": {}}', "")),
        *(("34", None), ('{"answer": 34', None), ('{"answer": 34} or 35', None), ("{1, 2}", None), ("\\{34\\}", None)),
    ],
)
def test_the_answer_of_an_object(text, answer):
    assert answer_of_object(text) == answer


def test_an_object_states_its_answer_before_what_its_other_fields_hold():
    assert extract('{"reasoning": "So \\boxed{48}. #### 48", "answer": 34}').answer == "34"
    assert extract('<think> a </think> <answer>{"answer": 34}</answer>').answer == "34"
    assert extract('{"answer": 34, "answer": 35}').verdict is Verdict.BAD_FORMAT


RUN_ON = "\n\nQuestion: What is 3 + 4?\nAnswer: 3 + 4 = 7. The answer is 7."


@pytest.mark.parametrize(
    "first", ["The answer is 12.", "So it is $\\boxed{12}$.", "#### 12", "So she has 12 eggs.", "Answer: 12"]
)
@pytest.mark.parametrize(
    "run_on",
    [
        *(RUN_ON, "\n\nQ: What is 3 + 4?\nA: 7", "\n\n### Problem 2:\nWhat is 3 + 4?\n### Solution:\n#### 7"),
        *("\nHuman: What is 3 + 4?\nAssistant: \\boxed{7}", "\n\n**Question:** What is 3 + 4?\n\n**Answer:** 7"),
    ],
)
def test_the_first_answer_counts_where_a_run_on_is_plain(first, run_on):
    assert before_run_on(first + run_on) == first
    assert "12" in extract(first + run_on).answer


@pytest.mark.parametrize(
    "text",
    [
        "Question: 8 and 4?\nAnswer: 12",
        "Let me put it so.\n\nQuestion: 8 and 4?\n\nAnswer: 12",
        "Question 1: how many pens? The answer is 8.\nQuestion 2: in all? The answer is 12.",
        "**Problem:** 8 and 4.\n\n**Solution:** 12\n\n**Answer:** 12",
    ],
)
def test_a_text_that_poses_its_question_again_is_read_to_its_end(text):
    assert before_run_on(text) == text


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        *(("$[0,1)$", "$[0,1)$"), ("Thus the range is $[0,1)$.", "[0,1)"), ("We find $x \\geq 5$.", "x \\geq 5")),
        *(("So $2x + 4y = 10$ holds.", "2x + 4y = 10"), ("She paid $5 and $12 more, $17 in all.", "17")),
        *(("The pair is (7, 6).", "(7, 6)"), ("It starts at 3:45 p.m.", "3:45 p.m"), ("The ratio is 2:3.", "2:3")),
        *(("They sold $28$ percent of it.", "28$ percent"), ("It is 4 4/9 feet.", "4 4/9"), ("1 000", "1 000")),
        *(("C", "C"), ("Yes, it is.", "Yes, it is."), ("4 4/9", "4 4/9"), ("(C)", "(C)"), ("so", None), ("7 2", "7 2")),
    ],
)
def test_a_text_without_a_marker(text, answer):
    assert extract(text, Style.LAST_NUMBER).answer == answer


def test_the_value_at_the_end_of_a_formula_counts_beside_all_of_it():
    extraction = extract("So $a + b = 72$ in all.")
    assert (extraction.answer, extraction.plainer) == ("a + b = 72", "72")
    assert extract("So $x > 72$ in all.").plainer is None


@pytest.mark.parametrize("piece", ['{"a', "\nQuestion:", "$", "$1", "\\(", "1:", "(1,", "1 ", '\\"', "answer is "])
def test_long_texts_take_linear_time(piece):
    require_linear(extract, lambda size: piece * (size // len(piece)))
