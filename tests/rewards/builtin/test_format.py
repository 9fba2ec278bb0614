"""A form is kept or it is not, and no spelling gets round that."""

import pytest
from support.work import require_linear

from doubleback.rewards.builtin.format import answer_only, boxed_format, reasoning_off, think_answer_format


@pytest.mark.parametrize(
    "text",
    [
        *(r"\boxed{72}", r"So it is $\boxed{72}$.", r"\boxed {72}", "\\boxed\n{\n72\n}\n", r"\[ \boxed{ 72 } \]"),
        *(r"\boxed{\frac{1}{2}}", r"\boxed{\{1, 2\}}", r"\boxed{\}}", r"$\frac{1}{2} = \boxed{0.5}$", r"\boxed{72} cm"),
        r"<think> \boxed{71} or \boxed{ </think> \boxed{72}",
        r"<think> a </think> b </think> \boxed{72}",
        r"\boxedfoo{1} \boxed{72}",
    ],
)
def test_one_good_box_is_the_format(text):
    assert boxed_format(completions=[text]) == [1.0]


@pytest.mark.parametrize(
    "text",
    [
        *("", "72", "boxed{72}", r"\boxed", r"\boxed72", r"\boxed{}", "\\boxed{ \n}", r"\boxed{72", r"\boxed{{72}"),
        *(r"\boxed{72} \boxed{72}", r"\boxed{\boxed{72}}", r"\boxed{72} \boxed{", r"\boxed{72} \boxed", r"\boxed{72\}"),
        *(r"\boxed{72}}", r"{\boxed{72}", r"}{ \boxed{72}", r"\boxed{72} }{"),
        *(r"<think> \boxed{72} </think>", r"<think> \boxed{72}", r"\boxed{72} <think> a", r"\boxed{72} </think>"),
        r"<think> a </think> \boxed{72} <think> b </think>",
    ],
)
def test_anything_else_is_not(text):
    assert boxed_format(completions=[text]) == [0.0]


@pytest.mark.parametrize(
    ("text", "on", "off"),
    [
        ("<think> a </think> 72", 1.0, 0.0),
        ("\n<think>\na\n</think>", 1.0, 0.0),
        ("72", 0.0, 1.0),
        ("", 0.0, 1.0),
        ("I think, so 2 < 3 and [thin] <answer> 72 </answer>", 0.0, 1.0),
        # Empty, not first, not closed, or not alone: no thinking as asked, and no silence either.
        ("<think></think> 72", 0.0, 0.0),
        ("<think> \n </think> 72", 0.0, 0.0),
        ("72 <think> a </think>", 0.0, 0.0),
        ("<think> a", 0.0, 0.0),
        ("a </think> 72", 0.0, 0.0),
        ("<think> a </think> <think> b </think>", 0.0, 0.0),
        ("<think> a <think> b </think> c", 0.0, 0.0),
        ("<think> a </think> b </think>", 0.0, 0.0),
        ("<think> a </think> <Thinking> b", 0.0, 0.0),
        *((f"a {tag} b", 0.0, 0.0) for tag in ("<THINK>", "< think >", "</ think>", "<\nthink\n>", "<thinking>")),
        *((f"a {tag} b", 0.0, 0.0) for tag in ("<|think|>", "[THINK]", "[/THINK]", "<thought>", "<reasoning>")),
        *(
            (f"a {tag} b", 0.0, 0.0)
            for tag in ("＜think＞", "<th\u200bink>", "<ｔｈｉｎｋ>", "<think", '<think mode="x">')
        ),
    ],
)
def test_thinking_is_wanted_or_not(text, on, off):
    assert reasoning_off(completions=[text] * 3, thinking=[True, False, None]) == [on, off, None]


def test_without_the_column_the_switch_does_not_apply():
    assert reasoning_off(completions=["<think> a", "b"], prompts=["p"] * 2) == [None, None]


def test_a_column_of_another_length_is_refused():
    with pytest.raises(ValueError, match="zip"):
        reasoning_off(completions=["a", "b"], thinking=[True])


@pytest.mark.parametrize("text", [r"\boxed{72}", "<think> a </think> <answer> 72 </answer>"])
def test_messages_are_judged_as_their_text(text):
    both = {"completions": [text, [{"role": "assistant", "content": text}]], "thinking": [True, True], "target": [1, 1]}
    for reward in (think_answer_format, answer_only, boxed_format, reasoning_off):
        plain, message = reward(**both)
        assert plain == message


@pytest.mark.parametrize(
    "piece", ["\\boxed{", "\\boxed", "{", "}", "\\", "<think>", "</think>", "< ", "\\boxed{7} ", "[/"]
)
def test_long_input_takes_linear_time(piece):
    """Protects against a regular expression that backtracks: a quadratic one takes eight times too long here."""

    def judge(text):
        assert boxed_format(completions=[text]) == [0.0]
        assert reasoning_off(completions=[text], thinking=[True]) == [0.0]

    require_linear(judge, lambda size: piece * (size // len(piece)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<answer> 1 + 2 </answer>", 1.0),
        (" <answer>x</answer>\n", 1.0),
        ("<answer></answer>", 0.0),
        ("<answer> \n </answer>", 0.0),
        ("<answer>", 0.0),
        ("</answer>", 0.0),
        ("<answer> 1 </answer> <answer> 2 </answer>", 0.0),
        ("3 - 1 = 2 yes <answer> 1 </answer>", 0.0),
        ("<answer> 1 </answer> so", 0.0),
        ("<think> 1 </think> <answer> 1 </answer>", 0.0),
        ("<answer> <THINK> 1 </answer>", 0.0),
        ("", 0.0),
    ],
)
def test_an_answer_alone_is_one_block_and_no_mark_of_thinking(text, expected):
    assert answer_only([text]) == [expected]


def test_an_answer_alone_has_no_mark_of_its_own_convention():
    text = "<answer> <plan> 1 </answer>"
    assert answer_only([text]) == [1.0]
    assert answer_only([text], thinking_convention=["<plan>...</plan>"]) == [0.0]
