"""Rewards for the form of a completion, whatever it says."""

from collections.abc import Sequence
from typing import Any

from doubleback.rewards.extract import Messages, completion_text, think_answer


def think_answer_format(completions: Sequence[Messages], **kwargs: Any) -> list[float | None]:
    """1.0 for exactly `<think> ... </think> <answer> ... </answer>`, else 0.0. TRL's reward signature."""
    return [float(think_answer(completion_text(completion)).is_exact) for completion in completions]
