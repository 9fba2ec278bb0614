"""Rewards for the form of a completion, whatever it says. All have TRL's reward signature and take linear time."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

from doubleback.rewards.answers.extract import BRACE, closing_brace, think_answer
from doubleback.rewards.answers.messages import Messages, completion_text
from doubleback.rewards.answers.thinking import CONVENTIONS, Convention, Region, Thinking, answer_region, thinking_of

# (?![A-Za-z]): `\boxedfoo` is another command.
_BOX = re.compile(r"\\boxed(?![A-Za-z])")
_TAG_LIKE = re.compile(r"<\|?/?(?:think|thought|reason)|\[/?(?:think(?:ing)?|thoughts?|reasoning)\]")

ANSWER_TAGS = ("<answer>", "</answer>")
Named = Sequence[str | None] | None
"""Column `thinking_convention`, one entry per completion: the convention that recipe or chat template names."""


def think_answer_format(
    completions: Sequence[Messages],
    prompts: Sequence[Messages] | None = None,
    thinking_convention: Named = None,
    **kwargs: Any,
) -> list[float | None]:
    """1.0 for exactly `<think> ... </think> <answer> ... </answer>`, else 0.0 (DeepSeek-R1, arXiv:2501.12948, 2.2.2).

    The marks around the thought are those of the column `thinking_convention` where there is one. Blank space around
    and between the tags is free. Where the prompt has opened the thought, as some chat templates leave it, the
    completion begins behind that and does not repeat it. Failure case: it says nothing of what stands inside, so alone
    it rewards an empty thought and any answer. TRL's reward signature.
    """
    rows = _rows(completions, prompts, thinking_convention)
    return [float(think_answer(text, thinking).is_exact) for text, thinking in rows]


def answer_only(
    completions: Sequence[Messages],
    prompts: Sequence[Messages] | None = None,
    thinking_convention: Named = None,
    **kwargs: Any,
) -> list[float | None]:
    """1.0 for exactly `<answer> ... </answer>`, with no mark of thinking anywhere, else 0.0: `format` without thinking.

    Blank space around the tags is free; what stands inside says something. A mark counts in any spelling, as for
    `reasoning_off`. Failure case: thoughts inside the answer, which it does not read, so weigh it together with
    correctness. TRL's reward signature.
    """
    rows = _rows(completions, prompts, thinking_convention)
    return [float(_is_answer_alone(text.strip()) and not _has_mark(text, thinking)) for text, thinking in rows]


def boxed_format(
    completions: Sequence[Messages],
    prompts: Sequence[Messages] | None = None,
    thinking_convention: Named = None,
    **kwargs: Any,
) -> list[float | None]:
    r"""1.0 where what follows the thinking (or all of it, without one) holds one good `\boxed{...}`, else 0.0.

    Good: the only `\boxed` there, braces balanced inside and around it, something but whitespace inside. Words around
    it and whitespace before its brace are welcome. A thought that is never closed leaves nothing that follows: 0.0.
    Failure case: `\boxed72`, which LaTeX allows, gets 0.0; it boxes the 7 alone.
    """
    rows = _rows(completions, prompts, thinking_convention)
    return [float(_has_one_good_box(answer_region(text, thinking))) for text, thinking in rows]


def reasoning_off(
    completions: Sequence[Messages],
    thinking: Sequence[bool | None] | None = None,
    prompts: Sequence[Messages] | None = None,
    thinking_convention: Named = None,
    **kwargs: Any,
) -> list[float | None]:
    """Did the completion think where it was asked to, and only there (the switch of IBM Granite and Qwen3)?

    Column `thinking`, one entry per completion. False: 1.0 where no mark of thinking stands, opening or closing, of any
    convention of `rewards.answers.thinking`, in any spelling (case, spaces, full-width or invisible characters), else
    0.0. True: 1.0 where the completion begins with a closed thought that says something, and holds no other mark of
    thinking, else 0.0; the thought is of the convention that the prompt has opened, or the column
    `thinking_convention` names, or of any. None, or no such column: None, does not apply.

    Failure case: thinking aloud without a mark passes for not thinking, so weigh it together with correctness or
    length.
    """
    wanted = [None] * len(completions) if thinking is None else thinking
    rows = zip(_rows(completions, prompts, thinking_convention), wanted, strict=True)
    return [
        None if is_on is None else float(_thinks_first(text, known) if is_on else not _has_mark(text, known))
        for (text, known), is_on in rows
    ]


def _rows(
    completions: Sequence[Messages], prompts: Sequence[Messages] | None, named: Named
) -> Iterator[tuple[str, Thinking]]:
    """Each completion's text, and what is known of its thinking."""
    prompts = [""] * len(completions) if prompts is None else prompts
    named = [None] * len(completions) if named is None else named
    return zip(map(completion_text, completions), map(thinking_of, prompts, named), strict=True)


def _is_answer_alone(text: str) -> bool:
    """Whether the text is one answer block that says something."""
    opening, closing = ANSWER_TAGS
    inside = text.removeprefix(opening).removesuffix(closing)
    is_whole = len(text) == len(opening) + len(inside) + len(closing)
    return is_whole and bool(inside.strip()) and not any(tag in inside for tag in ANSWER_TAGS)


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


def _thinks_first(text: str, thinking: Thinking) -> bool:
    """Whether the text begins with one closed thought that says something, and holds no other mark."""
    wanted = thinking.opened or thinking.convention
    return any(_thinks_once(text, thinking, each) for each in ([wanted] if wanted else CONVENTIONS))


def _thinks_once(text: str, thinking: Thinking, convention: Convention) -> bool:
    if thinking.opened is None:
        opening = next((mark for mark in convention.openings if text.lstrip().startswith(mark)), None)
        if opening is None:
            return False
        text = text.lstrip().removeprefix(opening)
    closing = min((mark for mark in convention.closings if mark in text), key=text.index, default=None)
    if closing is None:
        return False
    thought, _, answer = text.partition(closing)
    return bool(thought.strip()) and not _has_mark(thought, thinking) and not _has_mark(answer, thinking)


def _has_mark(text: str, thinking: Thinking) -> bool:
    """Whether anything in `text` would read as a mark of thinking, however it is spelled.

    Spaces and invisible characters (category Cf) are dropped first, so "a < think" counts too: it is no mathematics.
    """
    plain = "".join(character for character in unicodedata.normalize("NFKC", text) if not character.isspace())
    visible = "".join(character for character in plain if unicodedata.category(character) != "Cf")
    folded = visible.casefold()
    return _TAG_LIKE.search(folded) is not None or any(mark in folded for mark in _folded_marks(thinking.convention))


@lru_cache(maxsize=64)
def _folded_marks(own: Convention | None) -> frozenset[str]:
    """The marks as `_has_mark` looks for them; those that also begin an answer without a thought are none."""
    conventions = (*CONVENTIONS, own) if own else CONVENTIONS
    marks = {"".join(mark.split()).casefold() for convention in conventions for mark in convention.marks}
    return frozenset(mark for mark in marks if "final" not in mark and "response" not in mark)
