"""Rewards for the form of a completion, whatever it says. All have TRL's reward signature and take linear time."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from doubleback.rewards.answers.extract import BRACE, closing_brace, think_answer
from doubleback.rewards.answers.messages import Messages, completion_text
from doubleback.rewards.answers.thinking import CONVENTIONS, Region, answer_region, opens_thought

# (?![A-Za-z]): `\boxedfoo` is another command.
_BOX = re.compile(r"\\boxed(?![A-Za-z])")
_MARKS = frozenset(
    "".join(mark.split()).casefold()
    for convention in CONVENTIONS
    for mark in (convention.opening, convention.closing)
    if not convention.is_at_start and "final" not in mark and "response" not in mark
)
_TAG_LIKE = re.compile(r"<\|?/?(?:think|thought|reason)|\[/?(?:think(?:ing)?|thoughts?|reasoning)\]")


def think_answer_format(
    completions: Sequence[Messages], prompts: Sequence[Messages] | None = None, **kwargs: Any
) -> list[float | None]:
    """1.0 for exactly `<think> ... </think> <answer> ... </answer>`, else 0.0 (DeepSeek-R1, arXiv:2501.12948, 2.2.2).

    Blank space around and between the tags is free. Where the prompt ends in `<think>`, as some chat templates leave
    it, the completion begins behind that tag and does not repeat it. Failure case: it says nothing of what stands
    inside, so alone it rewards an empty thought and any answer. TRL's reward signature.
    """
    rows = zip(map(completion_text, completions), _opened(prompts, len(completions)), strict=True)
    return [float(think_answer(text, is_opened).is_exact) for text, is_opened in rows]


def boxed_format(
    completions: Sequence[Messages], prompts: Sequence[Messages] | None = None, **kwargs: Any
) -> list[float | None]:
    r"""1.0 where what follows the thinking (or all of it, without one) holds one good `\boxed{...}`, else 0.0.

    Good: the only `\boxed` there, braces balanced inside and around it, something but whitespace inside. Words around
    it and whitespace before its brace are welcome. A thought that is never closed leaves nothing that follows: 0.0.
    Failure case: `\boxed72`, which LaTeX allows, gets 0.0; it boxes the 7 alone.
    """
    rows = zip(map(completion_text, completions), _opened(prompts, len(completions)), strict=True)
    return [float(_has_one_good_box(answer_region(text, is_opened))) for text, is_opened in rows]


def reasoning_off(
    completions: Sequence[Messages],
    thinking: Sequence[bool | None] | None = None,
    prompts: Sequence[Messages] | None = None,
    **kwargs: Any,
) -> list[float | None]:
    """Did the completion think where it was asked to, and only there (the switch of IBM Granite and Qwen3)?

    Column `thinking`, one entry per completion. False: 1.0 where no mark of thinking stands, opening or closing, of any
    convention of `rewards.answers.thinking`, in any spelling (case, spaces, full-width or invisible characters), else
    0.0. True: 1.0 where the completion begins with a closed thought that says something, and holds no other mark of
    thinking, else 0.0. A prompt that ends in `<think>` has opened the thought. None, or no such column: None, does not
    apply.

    Failure case: thinking aloud without a mark passes for not thinking, so weigh it together with correctness or
    length.
    """
    wanted = [None] * len(completions) if thinking is None else thinking
    rows = zip(map(completion_text, completions), wanted, _opened(prompts, len(completions)), strict=True)
    return [
        None if is_on is None else float(_thinks_first(text, is_opened) if is_on else not _has_think_tag(text))
        for text, is_on, is_opened in rows
    ]


def _opened(prompts: Sequence[Messages] | None, num_completions: int) -> list[bool]:
    """Whether each prompt ends inside a thought; never where no prompts are given."""
    return [False] * num_completions if prompts is None else [opens_thought(completion_text(each)) for each in prompts]


def _has_one_good_box(found: Region) -> bool:
    region = found.text
    boxes = list(_BOX.finditer(region))
    if len(boxes) != 1:
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


def _thinks_first(text: str, is_opened: bool) -> bool:
    for convention in CONVENTIONS:
        head, opening, rest = ("", convention.opening, text) if is_opened else text.partition(convention.opening)
        thought, closing, answer = rest.partition(convention.closing)
        is_first_and_closed = not head.strip() and bool(
            opening and closing and thought.removeprefix("<|message|>").strip()
        )
        if is_first_and_closed and not _has_think_tag(thought) and not _has_think_tag(answer):
            return True
    return False


def _has_think_tag(text: str) -> bool:
    """Whether anything in `text` would read as a think tag, however it is spelled.

    Spaces and invisible characters (category Cf) are dropped first, so "a < think" counts too: it is no mathematics.
    """
    plain = "".join(character for character in unicodedata.normalize("NFKC", text) if not character.isspace())
    visible = "".join(character for character in plain if unicodedata.category(character) != "Cf")
    folded = visible.casefold()
    return _TAG_LIKE.search(folded) is not None or any(mark in folded for mark in _MARKS)
