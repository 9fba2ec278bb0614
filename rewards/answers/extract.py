"""Where in a completion the answer stands. Rewards and evaluations read the same region."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from doubleback.rewards.answers.boxes import BRACE as BRACE
from doubleback.rewards.answers.boxes import REGION_KEPT
from doubleback.rewards.answers.boxes import closing_brace as closing_brace
from doubleback.rewards.answers.boxes import last_box as last_box
from doubleback.rewards.answers.markers import MAX_ANSWER as MAX_ANSWER
from doubleback.rewards.answers.markers import Extraction as Extraction
from doubleback.rewards.answers.markers import Style as Style
from doubleback.rewards.answers.markers import (
    from_answer_is,
    from_boxes,
    from_hashes,
    from_tags,
    has_later_answer_line,
)
from doubleback.rewards.answers.places.last_number import from_last_number
from doubleback.rewards.answers.places.objects import answer_of_object
from doubleback.rewards.answers.places.run_on import before_run_on
from doubleback.rewards.answers.thinking import ANY, Convention, Thinking, answer_region
from doubleback.rewards.types import Verdict

MAX_REGION = 100_000
"""Characters. Of a longer region only the end is read."""

FINDERS: Mapping[Style, Callable[[str], Extraction | None]] = {
    Style.THINK_ANSWER: from_tags,
    Style.BOXED: from_boxes,
    Style.HASH: from_hashes,
    Style.ANSWER_IS: from_answer_is,
    Style.LAST_NUMBER: from_last_number,
}
"""In the order in which FLEXIBLE tries them. None: the style's marker is not there."""

_LOOSE_TAG = re.compile(r"<(/?answer)[ \t]{1,3}>")


@dataclass(frozen=True, slots=True)
class ThinkAnswer:
    """What a completion answered, and whether it kept to the format."""

    answer: str | None
    """The text of the answer region, stripped. None where there is no region, or an empty one."""
    is_exact: bool
    """One think block, then one answer block that says something, and nothing else but whitespace."""


def think_answer(text: str, thinking: Thinking = ANY) -> ThinkAnswer:
    """The answer of `<think> ... </think> <answer> ... </answer>`, with the marks of whatever convention is followed.

    Only the last answer region after the last thought counts: what is thought, or answered before more thinking, is not
    an answer. A region that is opened last and never closed leaves no answer, whatever stands before it. Exact is the
    convention that is expected alone; where the prompt has opened the thought, the completion begins behind that. Where
    thinking is off an answer without a thought answers, and is not exact all the same.
    """
    found = answer_region(text, thinking)
    _, opening, region = found.text.rpartition("<answer>")
    answer, end, _ = region.partition("</answer>")
    stripped = answer.strip() if (found.closed or thinking.is_off) and opening and end else ""
    whole = f"{thinking.opened.openings[0]}{text}" if thinking.opened else text
    return ThinkAnswer(
        stripped or None, bool(stripped) and _exact_format(thinking.expected).fullmatch(whole) is not None
    )


def no_region(thinking: Thinking) -> str:
    """Why `think_answer` has no answer, for a person."""
    return "no answer region" + ("" if thinking.is_off else f" after {thinking.expected.closings[0]}")


@lru_cache(maxsize=64)
def _exact_format(convention: Convention) -> re.Pattern[str]:
    opening, closing = ("|".join(map(re.escape, marks)) for marks in (convention.openings, convention.closings))
    no_mark = rf"(?:(?!{opening}|{closing}|</?answer>).)*"
    return re.compile(rf"\s*(?:{opening}){no_mark}(?:{closing})\s*<answer>{no_mark}</answer>\s*", re.DOTALL)


def extract(text: str, style: Style = Style.FLEXIBLE, thinking: Thinking = ANY) -> Extraction:
    """The committed answer of a completion, in time linear in its length.

    Region first (`thinking.answer_region`): only what follows the last thought counts, and a thought left open leaves
    nothing; nor does a plain run-on with another question (`places.run_on`). A region above 100,000 characters is cut
    to its last 20,000. In it the last marker of the style decides. A malformed last marker is bad_format: no earlier
    one, and no other style, is tried in its place. `thinking`: what is known of it from the prompt
    (`thinking.thinking_of`). A mark of thinking that is in no row of the table is bad_format too.
    """
    answered = answer_region(text, thinking)
    if answered.is_open:
        return Extraction(None, style, Verdict.NO_ANSWER, detail="the thought is not closed")
    if answered.unknown:
        detail = f"unknown mark of thinking {answered.unknown}: task.convention may name it"
        return Extraction(None, style, Verdict.BAD_FORMAT, detail=detail)
    if style is Style.THINK_ANSWER and answered.closed is None and not thinking.is_off:
        return Extraction(None, style, Verdict.NO_ANSWER, detail=f"no {thinking.expected.closings[0]}")
    region = before_run_on(answered.text)
    if len(region) > MAX_REGION:
        region = region[-REGION_KEPT:]
    if style is Style.FLEXIBLE:
        region = _LOOSE_TAG.sub(r"<\1>", region)
    for tried in _order(region) if style is Style.FLEXIBLE else (style,):
        extraction = FINDERS[tried](region)
        if extraction is None:
            continue
        if tried is Style.THINK_ANSWER and extraction.answer is not None:
            return replace(extraction, is_exact=think_answer(text, thinking).is_exact)
        return extraction
    return Extraction(None, style, Verdict.NO_ANSWER, detail=f"no {style} marker after the thinking")


def _order(region: str) -> Sequence[Style]:
    """The styles in the order in which FLEXIBLE tries them.

    A line `Answer: D` below a box goes before the box, and the field of an object before what its other fields hold.
    """
    styles = list(FINDERS)
    is_object = region.lstrip().startswith(("{", "```")) and answer_of_object(region) is not None
    if is_object or ("boxed" in region and has_later_answer_line(region) and "answer>" not in region):
        styles.remove(Style.ANSWER_IS)
        styles.insert(0, Style.ANSWER_IS)
    return styles
