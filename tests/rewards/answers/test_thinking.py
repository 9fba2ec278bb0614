"""One table says where thinking ends, and extraction and the format rewards agree on it."""

import pytest
from support.work import require_linear

from doubleback.rewards.answers.extract import Style, extract
from doubleback.rewards.answers.thinking import CONVENTIONS, answer_region, opens_thought, without_control_tokens
from doubleback.rewards.builtin.format import boxed_format, reasoning_off, think_answer_format
from doubleback.rewards.types import Verdict

NAMED = pytest.mark.parametrize("convention", CONVENTIONS, ids=lambda each: each.name)


@NAMED
def test_what_is_thought_never_answers(convention):
    text = f"{convention.opening}Is it \\boxed{{71}}? Or 70.{convention.closing}The answer is 72."
    assert extract(text).answer == "72"
    assert answer_region(text).closed.closing == convention.closing
    assert boxed_format(completions=[text]) == [0.0]


@NAMED
def test_a_thought_that_is_cut_off_leaves_no_answer(convention):
    found = extract(f"{convention.opening}The answer is 72. \\boxed{{72}} Or maybe")
    assert (found.answer, found.verdict) == (None, Verdict.NO_ANSWER)


@NAMED
def test_thinking_is_seen_where_it_was_switched_off(convention):
    text = f"{convention.opening}48 + 24{convention.closing}72"
    assert reasoning_off(completions=[text, text], thinking=[True, None])[1] is None
    if not convention.is_at_start:
        assert reasoning_off(completions=[text], thinking=[False]) == [0.0]


def test_a_template_may_have_opened_the_thought():
    prompt = "<|im_start|>assistant\n<think>\n"
    rest = "48 + 24 = 72. </think> <answer> 72 </answer>"
    assert opens_thought(prompt)
    assert not opens_thought("What is <think> for?")
    assert think_answer_format(completions=[rest, rest], prompts=[prompt, "Say it."]) == [1.0, 0.0]
    assert think_answer_format(completions=[f"<think> {rest}"], prompts=[prompt]) == [0.0]
    assert reasoning_off(completions=["a </think> 72", "a"], thinking=[True, True], prompts=[prompt] * 2) == [1.0, 0.0]
    assert extract("The answer is 72. Or", is_opened=True).verdict is Verdict.NO_ANSWER
    assert extract(rest, Style.THINK_ANSWER, is_opened=True).is_exact


def test_a_tag_that_is_talked_about_opens_nothing():
    assert extract("<think> a </think> In my <think> block I found \\boxed{72}.").answer == "72"
    assert extract("<think> a </think> \\boxed{72} <think> or \\boxed{73}?").verdict is Verdict.NO_ANSWER


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("72<|im_end|>", "72"),
        ("72</s></s>", "72"),
        ("<|im_start|>assistant\n72", "\n72"),
        ("<answer>72<|im_end|></answer>", "<answer>72</answer>"),
        ("72<|im_end|>\n<|im_start|>user\nAnd 73?", "72"),
        ("a < b and c > d", "a < b and c > d"),
    ],
)
def test_control_tokens_are_no_part_of_an_answer(text, plain):
    assert without_control_tokens(text) == plain


@pytest.mark.parametrize("piece", ["<think>", "</s>", "<s>", "analysis", "<|channel|>", "`<think>`", " "])
def test_long_regions_take_linear_time(piece):
    require_linear(answer_region, lambda size: "</think>" + piece * (size // len(piece)))
