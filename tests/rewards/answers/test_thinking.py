"""One table says where thinking ends, and extraction and the format rewards agree on it."""

import pytest
from support.work import require_linear

from doubleback.rewards.answers.extract import Style, extract
from doubleback.rewards.answers.thinking import (
    CONVENTIONS,
    answer_region,
    find_convention,
    opened_by,
    thinking_of,
    without_control_tokens,
)
from doubleback.rewards.builtin.countdown import grade
from doubleback.rewards.builtin.format import boxed_format, reasoning_off, think_answer_format
from doubleback.rewards.builtin.math import MathCorrect
from doubleback.rewards.types import ConfigError, Verdict

NAMED = pytest.mark.parametrize("convention", CONVENTIONS, ids=lambda each: each.name)


@NAMED
def test_what_is_thought_never_answers_and_what_is_cut_off_leaves_no_answer(convention):
    for opening in (*convention.openings, *([convention.word] if convention.word else [])):
        for closing in convention.closings:
            text = f"{opening}Is it \\boxed{{71}}? Or 70.{closing}The answer is 72."
            assert extract(text).answer == "72"
            assert answer_region(text).closed is convention
            assert boxed_format(completions=[text]) == [0.0]
        cut = extract(f"{opening}The answer is 72. \\boxed{{72}} Or maybe")
        assert (cut.answer, cut.verdict) == (None, Verdict.NO_ANSWER)


@NAMED
def test_thinking_is_seen_where_it_was_switched_off(convention):
    text = f"{convention.openings[0]}48 + 24{convention.closings[0]}72"
    assert reasoning_off(completions=[text] * 3, thinking=[True, False, None]) == [1.0, 0.0, None]


@NAMED
def test_the_format_is_that_of_the_convention_that_is_named(convention):
    opening, closing = convention.openings[0], convention.closings[0]
    text = f"{opening} 48 + 24 = 72. {closing} <answer> 72 </answer>"
    other = "<think> 48 + 24 = 72. </think> <answer> 72 </answer>"
    named = {"thinking_convention": [convention.name] * 2}
    expected = [1.0, float(convention.name == "think")]
    assert think_answer_format(completions=[text, other], **named) == expected
    assert reasoning_off(completions=[text, other], thinking=[True] * 2, **named) == expected
    prompt = f"Think first. Assistant: {opening}\n"
    rest = text.removeprefix(opening)
    assert thinking_of(prompt).opened is convention
    assert think_answer_format(completions=[rest, text], prompts=[prompt] * 2) == [1.0, 0.0]


@NAMED
def test_another_closing_closes_no_thought(convention):
    """A thought ends with its own mark: what stands behind another one is still thought."""
    for other in CONVENTIONS:
        if other is not convention:
            text = f"{convention.openings[0]}Hm.{other.closings[0]}The answer is 72."
            assert extract(text).answer is None, other.name


def test_a_template_may_have_opened_the_thought():
    prompt = "<|im_start|>assistant\n<think>\n"
    rest = "48 + 24 = 72. </think> <answer> 72 </answer>"
    opened = thinking_of(prompt)
    assert opened.opened is CONVENTIONS[0]
    assert opened_by("What is <think> for?") is opened_by("Off: <think>\n\n</think>\n\n") is None
    assert think_answer_format(completions=[rest, rest], prompts=[prompt, "Say it."]) == [1.0, 0.0]
    assert think_answer_format(completions=[f"<think> {rest}"], prompts=[prompt]) == [0.0]
    assert reasoning_off(completions=["a </think> 72", "a"], thinking=[True, True], prompts=[prompt] * 2) == [1.0, 0.0]
    assert extract("The answer is 72. Or", thinking=opened).verdict is Verdict.NO_ANSWER
    assert extract("The answer is 72. </reasoning> 72", thinking=opened).verdict is Verdict.NO_ANSWER
    assert extract(rest, Style.THINK_ANSWER, opened).is_exact
    other = "70 + 2 </reasoning> <answer> 70 + 2 </answer>"
    assert grade(other, [70, 2], 72).verdict is Verdict.CORRECT
    assert grade(other, [70, 2], 72, opened).extracted is None


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("<cot>", "</cot>"), ("<THINK>", "</THINK>"), ("<|begin_of_reasoning|>", "<|end_of_reasoning|>")],
)
def test_an_unknown_mark_of_thinking_is_said_and_one_of_the_users_own_is_read(opening, closing):
    text = f"{opening}Is it 71?{closing}The answer is 72."
    found = extract(text)
    assert (found.answer, found.verdict) == (None, Verdict.BAD_FORMAT)
    assert found.detail == f"unknown mark of thinking {opening}: task.convention may name it"
    assert boxed_format(completions=[f"{opening}a{closing}\\boxed{{72}}"]) == [0.0]
    own = f"{opening}...{closing}"
    assert extract(text, thinking=thinking_of("", own)).answer == "72"
    assert extract(f"{opening}The answer is 72.", thinking=thinking_of("", own)).verdict is Verdict.NO_ANSWER
    exact = f"{opening} a {closing} <answer> 72 </answer>"
    assert think_answer_format(completions=[exact] * 2, thinking_convention=[own, None]) == [1.0, 0.0]
    assert MathCorrect()(completions=[text] * 2, answer=["72"] * 2, thinking_convention=[own, None]) == [1.0, 0.0]


@pytest.mark.parametrize("name", ["thinkin", "<cot>", "...", "<a>...<a>"])
def test_what_names_no_convention_is_refused(name):
    with pytest.raises(ConfigError, match=r"is no convention of thinking; known: think, .*<plan>\.\.\.</plan>"):
        find_convention(name)


@pytest.mark.parametrize("text", ["a < b > c", "<b>72</b>", "f(x)[reasoning]", "\\left<x\\right>", "<answer>"])
def test_what_is_no_mark_of_thinking_is_left(text):
    assert answer_region(text).unknown == ""


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
