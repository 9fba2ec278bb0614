"""Rewards for the form of a completion, whatever it says. All have TRL's reward signature and take linear time."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from doubleback.rewards.answers.extract import BRACE, closing_brace, think_answer
from doubleback.rewards.answers.messages import Messages, completion_text

# (?![A-Za-z]): `\boxedfoo` is another command.
_BOX = re.compile(r"\\boxed(?![A-Za-z])")
_TAG_LIKE = re.compile(r"<\|?/?(?:think|thought|reason)|\[/?(?:think(?:ing)?|thoughts?|reasoning)\]")


def think_answer_format(completions: Sequence[Messages], **kwargs: Any) -> list[float | None]:
    """1.0 for exactly `<think> ... </think> <answer> ... </answer>`, else 0.0 (DeepSeek-R1, arXiv:2501.12948, 2.2.2).

    Blank space around and between the tags is free. Failure case: it says nothing of what stands inside, so alone it
    rewards an empty thought and any answer. TRL's reward signature.
    """
    return [float(think_answer(completion_text(completion)).is_exact) for completion in completions]


def boxed_format(completions: Sequence[Messages], **kwargs: Any) -> list[float | None]:
    r"""1.0 where what follows the last `</think>` (or all of it, without one) holds one good `\boxed{...}`, else 0.0.

    Good: the only `\boxed` there, braces balanced inside and around it, something but whitespace inside. Words around
    it and whitespace before its brace are welcome. A `<think>` that is never closed leaves nothing that follows: 0.0.
    Failure case: `\boxed72`, which LaTeX allows, gets 0.0; it boxes the 7 alone.
    """
    return [float(_has_one_good_box(completion_text(completion))) for completion in completions]


def reasoning_off(
    completions: Sequence[Messages], thinking: Sequence[bool | None] | None = None, **kwargs: Any
) -> list[float | None]:
    """Did the completion think where it was asked to, and only there (the switch of IBM Granite and Qwen3)?

    Column `thinking`, one entry per completion. False: 1.0 where no think tag stands, opening or closing, in any
    spelling (case, spaces, full-width or invisible characters, `<thinking>`, `<|think|>`, `[THINK]`), else 0.0.
    True: 1.0 where the completion begins with a closed `<think>` block that says something, and holds no other think
    tag, else 0.0. None, or no such column: None, does not apply.

    Failure cases: thinking aloud without a tag passes for not thinking (Granite 3.2 writes "Here is my thought
    process:"), so weigh it together with correctness or length. A template that puts `<think>` into the prompt gets
    0.0 for True, since the completion then begins inside the block.
    """
    wanted = [None] * len(completions) if thinking is None else thinking
    return [
        None if is_on is None else float(_thinks_first(text) if is_on else not _has_think_tag(text))
        for text, is_on in zip(map(completion_text, completions), wanted, strict=True)
    ]


def _has_one_good_box(text: str) -> bool:
    region = text.rpartition("</think>")[2]
    boxes = list(_BOX.finditer(region))
    if len(boxes) != 1 or "<think>" in region:
        return False
    before, after = region[: boxes[0].start()], region[boxes[0].end() :].lstrip()
    end = closing_brace(after, 0) if after.startswith("{") else 0
    if not after[1 : max(end - 1, 0)].strip():
        return False
    return _is_balanced(before) and _is_balanced(after[end:])


def _is_balanced(text: str) -> bool:
    """Whether every brace that is not escaped has its partner."""
    depths = [0, *accumulate({"{": 1, "}": -1}.get(match[0], 0) for match in BRACE.finditer(text))]
    return min(depths) == 0 == depths[-1]


def _thinks_first(text: str) -> bool:
    head, opening, rest = text.partition("<think>")
    thought, closing, answer = rest.partition("</think>")
    is_first_and_closed = not head.strip() and bool(opening and closing and thought.strip())
    return is_first_and_closed and not _has_think_tag(thought) and not _has_think_tag(answer)


def _has_think_tag(text: str) -> bool:
    """Whether anything in `text` would read as a think tag, however it is spelled.

    Spaces and invisible characters (category Cf) are dropped first, so "a < think" counts too: it is no mathematics.
    """
    plain = "".join(character for character in unicodedata.normalize("NFKC", text) if not character.isspace())
    visible = "".join(character for character in plain if unicodedata.category(character) != "Cf")
    return _TAG_LIKE.search(visible.casefold()) is not None
