"""Only what is answered after the thinking is an answer, and the format is exact or it is not."""

import pytest
from support.work import require_linear

from doubleback.rewards.answers.extract import (
    MAX_ANSWER,
    Style,
    ThinkAnswer,
    extract,
    last_box,
    think_answer,
)
from doubleback.rewards.builtin.format import think_answer_format
from doubleback.rewards.types import Verdict

EXACT = "<think> a </think> <answer> 3 + 4 </answer>"


@pytest.mark.parametrize(
    ("text", "answer", "is_exact"),
    [
        (EXACT, "3 + 4", True),
        ("<think></think><answer>7</answer>", "7", True),
        ("\n<think>\na\nb\n</think>\n\n<answer>\n7\n</answer>\n", "7", True),
        # Said more than once, or with something around: an answer, not the format.
        ("<think> a </think> <answer> 1 </answer> <answer> 2 </answer>", "2", False),
        ("<think> a </think> <think> b </think> <answer> 2 </answer>", "2", False),
        ("<think> a <think> b </think> <answer> 2 </answer>", "2", False),
        ("hm <think> a </think> <answer> 2 </answer>", "2", False),
        ("<think> a </think> so <answer> 2 </answer>", "2", False),
        ("<think> a </think> <answer> 2 </answer> done", "2", False),
        ("a </think> <answer> 2 </answer>", "2", False),
        ("<think> a </think> <answer> <answer> 2 </answer>", "2", False),
        ("<think> a </think> <answer> 2 </answer> </answer>", "2", False),
        # Thought, or answered before more thinking: no answer.
        ("<think> <answer> 2 </answer> </think>", None, False),
        ("<think> a </think> <answer> 2 </answer> <think> b </think>", None, False),
        ("<think> <answer> 1 </answer> </think> <answer> 2 </answer>", "2", False),
        ("<answer> 2 </answer>", None, False),
        ("<think> a <answer> 2 </answer>", None, False),
        # Cut off, empty, or opened once more and never closed: no answer.
        ("<think> a </think> <answer> 2", None, False),
        ("<think> a </think> <answer> 2 </answer> <answer> 3", None, False),
        ("<think> a </think> <answer> </answer>", None, False),
        ("<think> a </think> 2 </answer>", None, False),
        ("<think> a </think>", None, False),
        ("", None, False),
    ],
)
def test_answer_and_format(text, answer, is_exact):
    assert think_answer(text) == ThinkAnswer(answer, is_exact)


TAGS = ["<think>", "</think>", "<answer>", "</answer>", "<think> </think> <answer>", "< "]


@pytest.mark.parametrize("piece", TAGS)
def test_long_tags_take_linear_time(piece):
    """Protects against a regular expression that backtracks: a quadratic one takes eight times too long here."""

    def judge(text):
        assert not think_answer(text).is_exact

    require_linear(judge, lambda size: piece * (size // len(piece)))


def test_format_reward_is_one_or_nothing():
    completions = [EXACT, [{"role": "assistant", "content": EXACT}], f"{EXACT} done", "<answer> 3 </answer>"]
    assert think_answer_format(completions=completions, prompts=["p"] * 4, target=[1] * 4) == [1.0, 1.0, 0.0, 0.0]


def answer_of(text, style=Style.FLEXIBLE):
    """The answer, or the verdict in its place."""
    found = extract(text, style)
    assert (found.answer is None) == (found.verdict is not None)
    return found.verdict or found.answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer> 72 </answer>", "72"),
        ("<think> 71 </think> <answer> 72 </answer> or 71", "72"),
        ("<think> <answer> 71 </answer> </think> <answer> 72 </answer>", "72"),
        (r"<answer> $\boxed{72}$ </answer>", "72"),
        (r"<answer> 60 + 12 = \boxed{72} </answer>", "72"),
        ("<answer> 72 </answer> <answer> 72.0 </answer>", "72.0"),
        ("<answer> 72 </answer> </answer>", "72"),
        # Only thought.
        ("<think> <answer> 72 </answer> </think>", Verdict.NO_ANSWER),
        ("<think> <answer> 72 </answer>", Verdict.NO_ANSWER),
        (r"<think> \boxed{72} </think> <answer> </answer>", Verdict.NO_ANSWER),
        ("<answer> 72 </answer> <think> hm", Verdict.NO_ANSWER),
        # Malformed: nothing before it, and no other style, comes to the rescue.
        ("<answer> 72", Verdict.BAD_FORMAT),
        ("72 </answer>", Verdict.BAD_FORMAT),
        (r"\boxed{72} <answer> 72", Verdict.BAD_FORMAT),
        ("<answer> 72 </answer> <answer> 73", Verdict.BAD_FORMAT),
        ("<answer> 72 </answer> <answer> </answer>", Verdict.NO_ANSWER),
        (r"<answer> \boxed{72} \boxed{ </answer>", Verdict.BAD_FORMAT),
        # Hedges.
        ("<answer> 71 </answer> <answer> 72 </answer>", Verdict.WRONG),
        (r"<answer> \boxed{71} \boxed{72} </answer>", Verdict.WRONG),
        (r"<answer> 71 \boxed{72} </answer>", Verdict.WRONG),
        (r"<answer> 60 + 12 = \boxed{72}, or 71 </answer>", Verdict.WRONG),
    ],
)
def test_answer_tags(text, answer):
    assert answer_of(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so $\boxed{72}$.", "72"),
        (r"\fbox{72}", "72"),
        (r"\boxed {72}", "72"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\boxed{72}}", "72"),
        ("first \\boxed{12}.\nThen \\boxed{72}.", "72"),
        (r"First \boxed{12}. Then \boxed{72}.", "72"),
        (r"\boxed{72} and again \boxed{72.0}", "72.0"),
        (r"\boxed{\frac{1}{2}} or 0.5", r"\frac{1}{2}"),
        (r"#### 71" + "\n" + r"\boxed{72}", "72"),
        (r"\boxed{71} \boxed{72}", Verdict.WRONG),
        ("\\[ \\boxed{71} \\]\n\\[ \\boxed{72} \\]", Verdict.WRONG),
        (r"either \boxed{71} or \boxed{72}", Verdict.WRONG),
        (r"\boxed{72} or 71", Verdict.WRONG),
        (r"71 or $\boxed{72}$", Verdict.WRONG),
        (r"not $\boxed{72}$", Verdict.WRONG),
        (r"\boxed{72} \boxed{", Verdict.BAD_FORMAT),
        (r"\boxed{72} \boxed{}", Verdict.BAD_FORMAT),
        (r"\boxed{72} \boxed", Verdict.BAD_FORMAT),
        (r"\boxed{72} \boxed{\frac{72}{1}", Verdict.BAD_FORMAT),
        (r"<think> \boxed{72} </think> \boxed{71}", "71"),
        (r"<think> \boxed{72} </think> so", Verdict.NO_ANSWER),
    ],
)
def test_boxes(text, answer):
    assert answer_of(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("48 + 24 = 72\n#### 72", "72"),
        ("#### 1,072", "1,072"),
        ("#### 72 apples\n", "72 apples"),
        ("#### Step 1\n48 / 2\n#### 72", "72"),
        ("#### 72\n#### 72.0", "72.0"),
        ("#### 71\n#### 72", Verdict.WRONG),
        ("#### 71 #### 72", Verdict.WRONG),
        ("#### 72\n####", Verdict.BAD_FORMAT),
        ("#### 72\n\nThe answer is 71.", "72"),
        ("The answer is 72.", "72"),
        ("The answer is 3.5.", "3.5"),
        ("The final answer is: $72$. I am sure of 71.", "$72$"),
        ("**Answer:** 72", "72"),
        ("the answer is 71\nNo, THE ANSWER IS 72", "72"),
        ("The answer is", Verdict.BAD_FORMAT),
        ("So 71 and then 72 clips.", "72"),
        ("It falls to -1,234.50 in all", "-1,234.50"),
        ("that is 10-3", "3"),
        ("10-3", "10-3"),
        (r"that is \frac{3}{4}", r"\frac{3}{4}"),
        ("that is 3/4 of it", "3/4"),
        ("72% of it", "72%"),
        ("72 thousand", "72 thousand"),
        ("not 72", "not 72"),
        ("71 or 72", Verdict.WRONG),
        (r"that is \sqrt{72}", Verdict.BAD_FORMAT),
        ("that is 10^72", Verdict.BAD_FORMAT),
        (r"\sqrt{72}", r"\sqrt{72}"),
        ("None", "None"),
        ("72 ７３", Verdict.BAD_FORMAT),
        ("none", Verdict.NO_ANSWER),
        ("", Verdict.NO_ANSWER),
    ],
)
def test_hashes_sentences_and_numbers(text, answer):
    assert answer_of(text) == answer


@pytest.mark.parametrize(
    ("style", "text"),
    [
        (Style.THINK_ANSWER, "<think> a </think> <answer> 72 </answer>"),
        (Style.BOXED, r"So it is $\boxed{72}$."),
        (Style.HASH, "a\n#### 72\n"),
        (Style.ANSWER_IS, "The answer is 72."),
        (Style.LAST_NUMBER, "72"),
    ],
)
def test_a_strict_style_accepts_its_own_marker_only(style, text):
    found = extract(text, style)
    assert (found.answer, found.style, found.verdict, found.is_exact) == ("72", style, None, True)
    assert extract(text) == found
    assert not extract(f"{text}\nwith 1 word more", style).is_exact
    if style is not Style.LAST_NUMBER:
        assert extract("nothing but 72", style).verdict is Verdict.NO_ANSWER


def test_strict_tags_need_a_think_block_before_them():
    assert answer_of("<answer> 72 </answer>", Style.THINK_ANSWER) is Verdict.NO_ANSWER
    assert answer_of("</think> <answer> 72 </answer>", Style.THINK_ANSWER) == "72"


def test_lengths_are_capped_before_anything_is_parsed():
    assert answer_of(rf"\boxed{{{'1' * MAX_ANSWER}}}") == "1" * MAX_ANSWER
    assert answer_of(rf"\boxed{{{'1' * (MAX_ANSWER + 1)}}}") is Verdict.BAD_FORMAT
    assert answer_of(r"\boxed{71} " + "a " * 100_000 + r"\boxed{72}") == "72"


def test_last_box():
    assert last_box(r"so \boxed{1}, then \boxed{\frac{1}{2}}") == r"\frac{1}{2}"
    assert last_box(r"so \boxed{1}, \boxed{\frac{1}{2}}") == r"1, \frac{1}{2}"
    assert last_box(r"\boxed{1} \boxed{") is None
    assert last_box("1") is None


PIECES = [
    "<answer>",
    "</answer>",
    "</think>",
    "<think>",
    "\\boxed{",
    "\\boxed{1}",
    "\\boxed{1} a\n",
    "{",
    "}",
    " ",
    "#",
]
PIECES += ["#### 1\n", "#### a\n", "1", "1,", "answer: ", "answer ", "not ", "1 or ", "\\", "\\text{", "\n", "７", "İ"]


@pytest.mark.slow
@pytest.mark.parametrize("piece", PIECES)
def test_long_input_takes_linear_time(piece):
    """Protects against patterns that backtrack and nested scans: a quadratic one takes eight times too long here."""
    for frame in ("{}", "</think><answer>{}</answer>"):
        for style in Style:
            require_linear(
                lambda text, style=style: extract(text, style),
                lambda size, frame=frame: frame.replace("{}", piece * (size // len(piece))),
            )
