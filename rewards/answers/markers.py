"""The markers by which a completion says that this is its answer: tags, boxes, hashes or words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

from doubleback.rewards.answers.boxes import Box, find_boxes
from doubleback.rewards.answers.places.objects import answer_of_object
from doubleback.rewards.answers.words import is_same, restated, without_aside
from doubleback.rewards.types import Verdict

MAX_ANSWER = 512
"""Characters. Nothing longer is parsed."""
MAX_SEVERAL = 16
"""Boxes that are read as one list."""
WINDOW = 40
"""Characters beside an answer that are read for words which take it back."""

_DIGIT = re.compile(r"\d")
_LETTER = re.compile(r"[A-Za-z]")
_WORD = re.compile(r"\w")
_NOT_BEFORE = re.compile(r"\b(?:not|isn't|nor|never)[^\w]*$", re.IGNORECASE)
OR_BEFORE = re.compile(r"(?:^|\s|\$)(\S+?)\$?,?\s+or\s+\$?$", re.IGNORECASE)
"""The end of a text that offers something else: `71 or`."""
_OR_AFTER = re.compile(
    r"[\s$,]*\bor\s+(?:maybe\s+|perhaps\s+)?\$?(-?[0-9][0-9,./]*[0-9]|-?[0-9]|[A-Z]\b)", re.IGNORECASE
)
_HEADING = re.compile(r"[A-Za-z]{2,}")
_ANSWER_IS = re.compile(
    r"\banswer(?: (?:to|of|for) (?:the|this|your|our) [a-z]{1,12})?"
    r"[\s*_]{0,4}(?:(?:is|should be|would be|must be|has to be|equals)\b|:|\}\s?:|:\})"
    r"|\b(?:correct|right|best) (?:option|choice) is\b",
    re.IGNORECASE,
)
_FINAL_BEFORE = re.compile(r"\n[\s*_#]*(?:correct )?$|\bfinal $", re.IGNORECASE)
_PERCENT_BEHIND = re.compile(r"\s?\$?\s?(?:\\?%|(?:percent|per cent|pct)\b)")
# What a closing remark says of an answer that it does not state.
_REMARK = re.compile(
    r"(?:also |indeed |therefore |thus |really |quite |very |now |then |clearly |always )*"
    r"(?:correct|right|helpful|useful|clear|unclear|understandable|plausible|reasonable|sensible|realistic|consistent"
    r"|valid|accurate|complete|satisfactory|sufficient|easy|simple|straightforward|ok|okay|fine|good|great|sound|exact"
    r"|not (?:clear|helpful|obvious|understandable|satisfactory)|given|shown|provided|above|below|in [a-z]+s\b"
    r"|because|since|based|as (?:shown|follows|required|expected|above)|what|just|in (?:the|a|line|agreement)|within"
    r"|wanted|needed|[a-z]+ed (?:by|from|as|with|in|using|through|via|above|below|here|on|to))\b(?! not\b)",
    re.IGNORECASE,
)
_REMARK_LEAD = re.compile(r"\b(?:hopes?|if|whether|why|how|that|this|when|about)\s+(?:\w+\s){0,2}$", re.IGNORECASE)
_HAS_VALUE = re.compile(r"[0-9\\$]|\b[A-J]\b|\b(?:not|wrong|incorrect|unknown|no|none|impossible|undefined)\b")
# A full stop between digits is a decimal point, and one in "p.m." ends no sentence before more of it.
_SENTENCE_END = re.compile(
    r"\n|(?<!\b[ap])(?<!\b[ap]\.m)[.](?=\s|\*|$)|(?<=\b[ap]\.m)[.](?=\s+[A-Z]|\*|\s*$)|[!?](?=\s+[A-Z])"
)


class Style(StrEnum):
    """How a completion marks its answer."""

    THINK_ANSWER = "think_answer"
    """`<think> ... </think> <answer> 72 </answer>`"""
    BOXED = "boxed"
    """`\\boxed{72}` or `\\fbox{72}`: the last one."""
    HASH = "hash"
    """`#### 72`, as GSM8K writes it: the rest of the last such line."""
    ANSWER_IS = "answer_is"
    """`The answer is 72.` or `Answer: 72`: to the end of the last such sentence that states one."""
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
    several: tuple[str, ...] = ()
    """What each box holds, where there are several: together they may answer a question for a list."""
    plainer: str | None = None
    """The answer of a sentence without the mark that ends it: of `The answer is 42!` it is 42, or the factorial."""


def commit(style: Style, answers: Sequence[str], is_exact: bool = False, after: str = "") -> Extraction:
    """The last of `answers`, if all say the same and `after` takes nothing back; a box inside it is opened."""
    answer = without_aside(answers[-1])
    if answer.startswith("{") and (inner := answer_of_object(answer)) is not None:
        answer = inner
    if not answer:
        return Extraction(None, style, Verdict.BAD_FORMAT, detail="the last answer is empty")
    if len(answer) > MAX_ANSWER:
        detail = f"an answer of {len(answer)} characters, more than {MAX_ANSWER}"
        return Extraction(None, style, Verdict.BAD_FORMAT, detail=detail)
    rival = next((other for other in answers[:-1] if not is_same(other, answer)), None) or restated(answer, after)
    if rival is not None:
        several = tuple(answers) if len(answers) <= MAX_SEVERAL else ()
        detail = f"a hedge: {rival[:40]} and {answer[:40]}"
        return Extraction(None, style, Verdict.WRONG, detail=detail, several=several)
    boxes = find_boxes(answer)
    if not boxes:
        return Extraction(answer, style, is_exact=is_exact)
    before, behind = answer[: boxes[0].start], answer[boxes[-1].end :]
    # `60 + 12 = \boxed{72}` derives it; another number elsewhere is a second answer.
    is_derived = before.rstrip(" $").endswith("=") and not _DIGIT.search(behind)
    if _DIGIT.search(before + behind) and not is_derived:
        return Extraction(None, style, Verdict.WRONG, detail="a hedge: a box, and a number beside it")
    boxed = from_boxes(answer)
    return replace(boxed, style=style, is_exact=is_exact) if boxed else Extraction(answer, style)


def from_tags(region: str) -> Extraction | None:
    """What the last `<answer>` holds."""
    style, opened = Style.THINK_ANSWER, region.split("<answer>")[1:]
    if not opened and "</answer>" not in region:
        return None
    if not opened or "</answer>" not in opened[-1]:
        return Extraction(None, style, Verdict.BAD_FORMAT, detail="<answer> is not closed, or was not opened")
    answers = [answer.strip() for answer, end, _ in (piece.partition("</answer>") for piece in opened) if end]
    if not answers[-1]:
        return Extraction(None, style, Verdict.NO_ANSWER, detail="the last <answer> is empty")
    return commit(style, [answer for answer in answers if answer], after=opened[-1].partition("</answer>")[2])


def from_boxes(region: str) -> Extraction | None:
    """What the last box holds, if the boxes beside it and the words around it leave it standing."""
    boxes = find_boxes(region)
    if not boxes:
        return None
    last = boxes[-1]
    if not last.content:
        return Extraction(None, Style.BOXED, Verdict.BAD_FORMAT, detail="the last box is empty or not closed")
    several = tuple(box.content or "" for box in boxes) if 2 <= len(boxes) <= MAX_SEVERAL else ()
    answers = [last.content]
    for earlier, later in pairwise(reversed(boxes)):
        between = region[later.end : earlier.start]
        if _LETTER.search(between) and ("\n" in between or ". " in between):
            break
        answers.insert(0, later.content or "")
    before, after = region[max(0, last.start - WINDOW) : last.start], region[last.end : last.end + WINDOW]
    if _has_rival(before, last.content, after):
        detail = "a hedge: the box is denied, or one of several"
        return Extraction(None, Style.BOXED, Verdict.WRONG, detail=detail)
    if (unit := _PERCENT_BEHIND.match(region, last.end)) and "%" not in last.content:
        answers[-1] += unit[0].strip().lstrip("$")
    is_exact = len(boxes) == 1 and not _WORD.search(region, last.end)
    return replace(commit(Style.BOXED, answers, is_exact, region[last.end :]), several=several)


def _has_rival(before: str, answer: str, after: str) -> bool:
    """Whether the words beside a box take it back (`not`) or offer something else (`71 or`, `or 71`)."""
    if _NOT_BEFORE.search(before):
        return True
    rivals = [match[1] for match in (OR_BEFORE.search(before), _OR_AFTER.match(after)) if match]
    return any(not is_same(_unboxed(rival), answer) for rival in rivals)


def _unboxed(text: str) -> str:
    boxes: list[Box] = find_boxes(text)
    return boxes[-1].content or text if boxes else text


def from_hashes(region: str) -> Extraction | None:
    """The rest of the last line with `####`."""
    pieces = region.split("####")[1:]
    if not pieces:
        return None
    values = [piece.partition("\n")[0].strip() for piece in pieces]
    # `#### Step 1` with text below it is a heading of a chat model, not an answer.
    kept = [
        number
        for number, (value, piece) in enumerate(zip(values, pieces, strict=True))
        if not (_HEADING.match(value) and (piece is not pieces[-1] or piece.strip() != value))
    ]
    if not kept:
        return None
    # A line that explains itself in between replaces what stood above it; bare lines in a row are a hedge.
    first = max((at for at in range(1, len(kept)) if _explains(pieces[kept[at] - 1])), default=0)
    answers = [values[number] for number in kept[first:]]
    last = pieces[kept[-1]]
    is_exact = len(pieces) == 1 and last.strip() == answers[-1]
    # An empty one counts only at the end: a row of hashes is decoration.
    shown = [value for value in answers[:-1] if value] + answers[-1:]
    return commit(Style.HASH, shown, is_exact, last.partition("\n")[2])


def _explains(piece: str) -> bool:
    return len(re.findall(r"[A-Za-z]+", piece.partition("\n")[2])) >= 2


def from_answer_is(region: str) -> Extraction | None:
    """The rest of the last sentence with `answer is` or `answer:` that states one; a closing remark states none.

    In an object that ends a text, `{"answer": 12}`, the field says so.
    """
    if (stated_in_object := answer_of_object(region)) is not None:
        return commit(Style.ANSWER_IS, [stated_in_object], is_exact=region.lstrip().startswith("{"))
    matches = list(_ANSWER_IS.finditer(region))
    if not matches:
        return None
    stating = [match for match in matches[-MAX_SEVERAL:] if _states(region, match)]
    stated = stating[-1] if stating else matches[-1]
    rest = region[stated.end() :].lstrip(" \t\n:*_}")
    end = _SENTENCE_END.search(rest)
    answer = (rest[: end.start()] if end else rest).strip(" \t*_")
    is_exact = len(matches) == 1 and not _WORD.search(rest, end.start() if end else len(rest))
    extraction = commit(Style.ANSWER_IS, [answer], is_exact, rest[len(answer) :])
    is_shouted = extraction.answer is not None and extraction.answer == answer and answer[-1:] in ("!", "?")
    return replace(extraction, plainer=answer.rstrip("!?")) if is_shouted else extraction


def _states(region: str, match: re.Match[str]) -> bool:
    rest = region[match.end() : match.end() + 120].lstrip(" \t\n:*_}")
    end = _SENTENCE_END.search(rest)
    sentence = rest[: end.start()] if end else rest
    if _REMARK.match(sentence) or not sentence.strip(" \t*_.!"):
        return False
    lead = region[max(0, match.start() - WINDOW) : match.start()].rpartition("\n")[2].rpartition(". ")[2]
    return _HAS_VALUE.search(sentence) is not None or _REMARK_LEAD.search(lead) is None


def has_later_answer_line(region: str) -> bool:
    """Whether a line `Answer: ...` or a final answer is stated behind the last box: the box was a step on the way."""
    boxes = find_boxes(region)
    if not boxes:
        return False
    matches = [match for match in _ANSWER_IS.finditer(region, boxes[-1].end) if _states(region, match)]
    return any(_FINAL_BEFORE.search(region, max(0, match.start() - WINDOW), match.start()) for match in matches)
