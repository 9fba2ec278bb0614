"""Where in a completion the answer stands. Rewards and evaluations read the same region."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

from doubleback.rewards.answers.rational import parse_rational
from doubleback.rewards.types import Verdict

_TAG = r"</?(?:think|answer)>"
_EXACT_FORMAT = re.compile(rf"\s*<think>(?:(?!{_TAG}).)*</think>\s*<answer>(?:(?!{_TAG}).)*</answer>\s*", re.DOTALL)
MAX_REGION = 100_000
"""Characters. Of a longer region only the end is read."""
REGION_KEPT = 20_000
"""Characters of that end."""
MAX_ANSWER = 512
"""Characters. Nothing longer is parsed."""
WINDOW = 40
"""Characters beside an answer that are read for words which take it back."""

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
"""A brace, or a backslash with what it escapes: `\\{` is no brace."""
_DIGIT = re.compile(r"\d")
_LETTER = re.compile(r"[A-Za-z]")
_WORD = re.compile(r"\w")
_NOT_BEFORE = re.compile(r"\b(?:not|isn't|nor|never)[^\w]*$", re.IGNORECASE)
_OR_BEFORE = re.compile(r"(?:^|\s|\$)(\S+?)\$?,?\s+or\s+\$?$", re.IGNORECASE)
_OR_AFTER = re.compile(
    r"[\s$,]*\bor\s+(?:maybe\s+|perhaps\s+)?\$?(-?[0-9][0-9,./]*[0-9]|-?[0-9]|[A-Z]\b)", re.IGNORECASE
)
_HEADING = re.compile(r"[A-Za-z]{2,}")
_ANSWER_IS = re.compile(r"\banswer[\s*_]{0,4}(?:is\b|:)", re.IGNORECASE)
# A full stop between digits is a decimal point.
_SENTENCE_END = re.compile(r"\n|[.](?=\s|\*|$)")
# \d here, so that a number in digits of another script is seen, and refused.
_NUMBER = re.compile(
    r"(?:\bnot\s+)?(?:(?<![\w)}])[-−])?"
    r"(?:\\[dt]?frac\{[-+]?\d+\}\{\d+\}|\.?\d(?:[\d,]*\d)?(?:\.\d+)?(?:/\d+)?)"
    r"(?:\s?\\?%|\s+(?:percent|hundred|thousand|million|billion|trillion|dozen)\b)?"
)
_INSIDE_BEFORE = re.compile(r"(?:[\^_{]|\\[a-z]+)\s*$")
_INSIDE_AFTER = re.compile(r"\s*[\^_}!]|[eE][-+]?\d")


@dataclass(frozen=True, slots=True)
class ThinkAnswer:
    """What a completion answered, and whether it kept to the format."""

    answer: str | None
    """The text of the answer region, stripped. None where there is no region, or an empty one."""
    is_exact: bool
    """One think block, then one answer block that says something, and nothing else but whitespace."""


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


class Style(StrEnum):
    """How a completion marks its answer."""

    THINK_ANSWER = "think_answer"
    """`<think> ... </think> <answer> 72 </answer>`"""
    BOXED = "boxed"
    """`\\boxed{72}` or `\\fbox{72}`: the last one."""
    HASH = "hash"
    """`#### 72`, as GSM8K writes it: the rest of the last such line."""
    ANSWER_IS = "answer_is"
    """`The answer is 72.` or `Answer: 72`: to the end of the last such sentence."""
    LAST_NUMBER = "last_number"
    """The last number in the text."""
    FLEXIBLE = "flexible"
    """The first of the above, in this order, whose marker is there."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """The one answer that a completion committed itself to, or why there is none."""

    answer: str | None
    """As written, stripped. None unless `verdict` is None."""
    style: Style
    """Which style found it. What was asked for, where no marker was found."""
    verdict: Verdict | None = None
    """None: one committed answer. no_answer, bad_format (a malformed last marker), wrong (a hedge between several)."""
    is_exact: bool = False
    """Said once, in this style's own format, with nothing after it."""
    detail: str = ""
    """Why there is no answer."""


def extract(text: str, style: Style = Style.FLEXIBLE) -> Extraction:
    """The committed answer of a completion, in time linear in its length.

    Region first: only what follows the last `</think>` counts, and a `<think>` left open leaves nothing. A region
    above 100,000 characters is cut to its last 20,000. In it the last marker of the style decides. A malformed last
    marker is bad_format: no earlier one, and no other style, is tried in its place.
    """
    thought, closing, region = text.rpartition("</think>")
    del thought
    if "<think>" in region:
        return Extraction(None, style, Verdict.NO_ANSWER, detail="<think> is not closed")
    if style is Style.THINK_ANSWER and not closing:
        return Extraction(None, style, Verdict.NO_ANSWER, detail="no </think>")
    if len(region) > MAX_REGION:
        region = region[-REGION_KEPT:]
    for tried in _FINDERS if style is Style.FLEXIBLE else (style,):
        found = _FINDERS[tried](region)
        if found is None:
            continue
        if tried is Style.THINK_ANSWER and found.answer is not None:
            return replace(found, is_exact=think_answer(text).is_exact)
        return found
    return Extraction(None, style, Verdict.NO_ANSWER, detail=f"no {style} marker after the thinking")


def last_box(text: str) -> str | None:
    r"""The content of the last `\boxed{}`; None where there is none or it is malformed. For golds."""
    boxes = _boxes(text[-REGION_KEPT:])
    return boxes[-1].content if boxes else None


@dataclass(frozen=True, slots=True)
class _Box:
    start: int
    """Where the backslash stands."""
    end: int
    """Behind the closing brace."""
    content: str | None
    """None where the braces are missing or not closed."""


def _boxes(text: str) -> list[_Box]:
    # The outermost boxes. Each search starts behind the last closing brace, and an unclosed box ends it: linear.
    boxes: list[_Box] = []
    position = 0
    while match := _BOX.search(text, position):
        position = match.end()
        content, end = None, position
        if text.startswith("{", position):
            end = closing_brace(text, position)
            content = text[position + 1 : end - 1].strip() if end else None
        boxes.append(_Box(match.start(), end or len(text), content))
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


def _is_same(left: str, right: str) -> bool:
    if "".join(left.split()) == "".join(right.split()):
        return True
    value = parse_rational(left)
    return value is not None and value == parse_rational(right)


def _commit(style: Style, answers: Sequence[str], is_exact: bool = False) -> Extraction:
    """The last of `answers`, if all of them say the same; a box inside it is opened."""
    answer = answers[-1]
    if not answer:
        return Extraction(None, style, Verdict.BAD_FORMAT, detail="the last answer is empty")
    if len(answer) > MAX_ANSWER:
        detail = f"an answer of {len(answer)} characters, more than {MAX_ANSWER}"
        return Extraction(None, style, Verdict.BAD_FORMAT, detail=detail)
    rival = next((other for other in answers if not _is_same(other, answer)), None)
    if rival is not None:
        return Extraction(None, style, Verdict.WRONG, detail=f"a hedge: {rival[:40]} and {answer[:40]}")
    boxes = _boxes(answer)
    if not boxes:
        return Extraction(answer, style, is_exact=is_exact)
    before, after = answer[: boxes[0].start], answer[boxes[-1].end :]
    # `60 + 12 = \boxed{72}` derives it; another number elsewhere is a second answer.
    is_derived = before.rstrip(" $").endswith("=") and not _DIGIT.search(after)
    if _DIGIT.search(before + after) and not is_derived:
        return Extraction(None, style, Verdict.WRONG, detail="a hedge: a box, and a number beside it")
    found = _from_boxes(answer)
    return replace(found, style=style, is_exact=is_exact) if found else Extraction(answer, style)


def _from_tags(region: str) -> Extraction | None:
    style, opened = Style.THINK_ANSWER, region.split("<answer>")[1:]
    if not opened and "</answer>" not in region:
        return None
    if not opened or "</answer>" not in opened[-1]:
        return Extraction(None, style, Verdict.BAD_FORMAT, detail="<answer> is not closed, or was not opened")
    answers = [answer.strip() for answer, end, _ in (piece.partition("</answer>") for piece in opened) if end]
    if not answers[-1]:
        return Extraction(None, style, Verdict.NO_ANSWER, detail="the last <answer> is empty")
    return _commit(style, [answer for answer in answers if answer])


def _from_boxes(region: str) -> Extraction | None:
    boxes = _boxes(region)
    if not boxes:
        return None
    last = boxes[-1]
    if not last.content:
        return Extraction(None, Style.BOXED, Verdict.BAD_FORMAT, detail="the last box is empty or not closed")
    answers = [last.content]
    for earlier, later in pairwise(reversed(boxes)):
        between = region[later.end : earlier.start]
        if _LETTER.search(between) and ("\n" in between or ". " in between):
            break
        answers.insert(0, later.content or "")
    before, after = region[max(0, last.start - WINDOW) : last.start], region[last.end : last.end + WINDOW]
    if _has_rival(before, last.content, after):
        return Extraction(None, Style.BOXED, Verdict.WRONG, detail="a hedge: the box is denied, or one of several")
    is_exact = len(boxes) == 1 and not _WORD.search(region, last.end)
    return _commit(Style.BOXED, answers, is_exact)


def _has_rival(before: str, answer: str, after: str) -> bool:
    """Whether the words beside a box take it back (`not`) or offer something else (`71 or`, `or 71`)."""
    if _NOT_BEFORE.search(before):
        return True
    rivals = [match[1] for match in (_OR_BEFORE.search(before), _OR_AFTER.match(after)) if match]
    return any(not _is_same(rival, answer) for rival in rivals)


def _from_hashes(region: str) -> Extraction | None:
    pieces = region.split("####")[1:]
    values = [piece.partition("\n")[0].strip() for piece in pieces]
    # `#### Step 1` with text below it is a heading of a chat model, not an answer.
    answers = [
        value
        for value, piece in zip(values, pieces, strict=True)
        if not (_HEADING.match(value) and (piece is not pieces[-1] or piece.strip() != value))
    ]
    if not answers:
        return None
    is_exact = len(pieces) == 1 and pieces[-1].strip() == answers[-1]
    # An empty one counts only at the end: a row of hashes is decoration.
    return _commit(Style.HASH, [value for value in answers[:-1] if value] + answers[-1:], is_exact)


def _from_answer_is(region: str) -> Extraction | None:
    matches = list(_ANSWER_IS.finditer(region))
    if not matches:
        return None
    rest = region[matches[-1].end() :].lstrip(" \t\n:*_")
    end = _SENTENCE_END.search(rest)
    answer = (rest[: end.start()] if end else rest).strip(" \t*_")
    is_exact = len(matches) == 1 and not _WORD.search(rest, end.start() if end else len(rest))
    return _commit(Style.ANSWER_IS, [answer], is_exact)


def _from_last_number(region: str) -> Extraction | None:
    matches = list(_NUMBER.finditer(region))
    if not matches:
        return None
    style, last, answer = Style.LAST_NUMBER, matches[-1], matches[-1][0].strip()
    before = region[max(0, last.start() - WINDOW) : last.start()]
    if not answer.isascii():
        return Extraction(None, style, Verdict.BAD_FORMAT, detail="the last number has digits of another script")
    if _INSIDE_BEFORE.search(before) or _INSIDE_AFTER.match(region, last.end()):
        return Extraction(None, style, Verdict.BAD_FORMAT, detail="the last number is part of an expression")
    if _OR_BEFORE.search(before):
        return Extraction(None, style, Verdict.WRONG, detail="a hedge: one number or another")
    return _commit(style, [answer], is_exact=region.strip() == answer)


_FINDERS: Mapping[Style, Callable[[str], Extraction | None]] = {
    Style.THINK_ANSWER: _from_tags,
    Style.BOXED: _from_boxes,
    Style.HASH: _from_hashes,
    Style.ANSWER_IS: _from_answer_is,
    Style.LAST_NUMBER: _from_last_number,
}
"""In the order in which FLEXIBLE tries them. None: the style's marker is not there."""
