r"""Boxes: where each `\boxed{...}` of a text begins and ends, and what it holds."""

import re
from dataclasses import dataclass
from itertools import pairwise

REGION_KEPT = 20_000
"""Characters of the end of a region that is longer than can be read."""

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_BETWEEN = re.compile(r"(?:[\s$,;.\\()]|\b(?:and|or|quad|text)\b|[{}])*")
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
"""A brace, or a backslash with what it escapes: `\\{` is no brace."""


@dataclass(frozen=True, slots=True)
class Box:
    """One box of a text."""

    start: int
    """Where the backslash stands."""
    end: int
    """Behind the closing brace."""
    content: str | None
    """None where the braces are missing or not closed."""


def find_boxes(text: str) -> list[Box]:
    """The outermost boxes of a text, in order, in linear time."""
    # The outermost boxes. Each search starts behind the last closing brace, and an unclosed box ends it: linear.
    boxes: list[Box] = []
    position = 0
    while match := _BOX.search(text, position):
        position = match.end()
        content, end = None, position
        if text.startswith("{", position):
            end = closing_brace(text, position)
            content = text[position + 1 : end - 1].strip() if end else None
        boxes.append(Box(match.start(), end or len(text), content))
        position = boxes[-1].end
    return boxes


def closing_brace(text: str, opening: int) -> int:
    """The position behind the brace that closes the one at `opening`; 0 where none does."""
    depth = 0
    for match in BRACE.finditer(text, opening):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return match.end()
    return 0


def last_box(text: str) -> str | None:
    r"""The content of the last `\boxed{}`, and of those before it with nothing between but `and`, `or` and signs, as a
    list with commas; None where there is none or it is malformed. For golds.
    """
    end = text[-REGION_KEPT:]
    boxes = find_boxes(end)
    if not boxes or boxes[-1].content is None:
        return None
    answers = [boxes[-1].content]
    for earlier, later in pairwise(reversed(boxes)):
        if _BETWEEN.fullmatch(end, later.end, earlier.start) is None:
            break
        answers.insert(0, later.content or "")
    return ", ".join(answers)
