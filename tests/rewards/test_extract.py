"""Only what is answered after the thinking is an answer, and the format is exact or it is not."""

import pytest

from doubleback.rewards.extract import ThinkAnswer, completion_text, think_answer
from doubleback.rewards.format import think_answer_format

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


def test_long_input_takes_linear_time():
    """Protects against a regular expression that backtracks: this takes milliseconds, or minutes."""
    for piece in ("<think>", "</think>", "<answer>", "</answer>", "<think> </think> <answer>", "< "):
        assert not think_answer(piece * 20_000).is_exact


def test_a_completion_may_be_chat_messages():
    messages = [{"role": "user", "content": "no"}, {"role": "assistant", "content": EXACT}]
    assert completion_text(messages) == completion_text(EXACT) == EXACT


def test_format_reward_is_one_or_nothing():
    completions = [EXACT, [{"role": "assistant", "content": EXACT}], f"{EXACT} done", "<answer> 3 </answer>"]
    assert think_answer_format(completions=completions, prompts=["p"] * 4, target=[1] * 4) == [1.0, 1.0, 0.0, 0.0]
