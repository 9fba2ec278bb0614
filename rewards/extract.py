"""Where in a completion the answer stands. Rewards and evaluations read the same region."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Messages = str | Sequence[dict[str, Any]]
"""A completion in TRL's two shapes: plain text, or chat messages of which the last holds it."""

_TAG = r"</?(?:think|answer)>"
_EXACT_FORMAT = re.compile(rf"\s*<think>(?:(?!{_TAG}).)*</think>\s*<answer>(?:(?!{_TAG}).)*</answer>\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ThinkAnswer:
    """What a completion answered, and whether it kept to the format."""

    answer: str | None
    """The text of the answer region, stripped. None where there is no region, or an empty one."""
    is_exact: bool
    """One think block, then one answer block that says something, and nothing else but whitespace."""


def completion_text(completion: Messages) -> str:
    """The text of a completion in either of TRL's shapes."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])


def think_answer(text: str) -> ThinkAnswer:
    """The answer of `<think> ... </think> <answer> ... </answer>`.

    Only the last answer region after the final `</think>` counts: what is thought, or answered before more thinking,
    is not an answer. A region that is opened last and never closed leaves no answer, whatever stands before it.
    """
    head, closing, conclusion = text.rpartition("</think>")
    before, opening, region = conclusion.rpartition("<answer>")
    answer, end, after = region.partition("</answer>")
    del head, before, after
    stripped = answer.strip() if closing and opening and end else ""
    return ThinkAnswer(stripped or None, bool(stripped) and _EXACT_FORMAT.fullmatch(text) is not None)
