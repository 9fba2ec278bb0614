"""Where in a completion the answer stands. Rewards and evaluations read the same region."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from doubleback.rewards.answers.boxes import BRACE as BRACE
from doubleback.rewards.answers.boxes import REGION_KEPT
from doubleback.rewards.answers.boxes import closing_brace as closing_brace
from doubleback.rewards.answers.boxes import last_box as last_box
from doubleback.rewards.answers.markers import FINDERS, has_later_answer_line
from doubleback.rewards.answers.markers import MAX_ANSWER as MAX_ANSWER
from doubleback.rewards.answers.markers import Extraction as Extraction
from doubleback.rewards.answers.markers import Style as Style
from doubleback.rewards.answers.thinking import answer_region
from doubleback.rewards.types import Verdict

MAX_REGION = 100_000
"""Characters. Of a longer region only the end is read."""

_TAG = r"</?(?:think|answer)>"
_EXACT_FORMAT = re.compile(rf"\s*<think>(?:(?!{_TAG}).)*</think>\s*<answer>(?:(?!{_TAG}).)*</answer>\s*", re.DOTALL)
_LOOSE_TAG = re.compile(r"<(/?answer)[ \t]{1,3}>")


@dataclass(frozen=True, slots=True)
class ThinkAnswer:
    """What a completion answered, and whether it kept to the format."""

    answer: str | None
    """The text of the answer region, stripped. None where there is no region, or an empty one."""
    is_exact: bool
    """One think block, then one answer block that says something, and nothing else but whitespace."""


def think_answer(text: str, is_opened: bool = False) -> ThinkAnswer:
    """The answer of `<think> ... </think> <answer> ... </answer>`.

    Only the last answer region after the final `</think>` counts: what is thought, or answered before more thinking,
    is not an answer. A region that is opened last and never closed leaves no answer, whatever stands before it.
    `is_opened`: the prompt ends in `<think>`, so the completion begins behind it.
    """
    head, closing, conclusion = text.rpartition("</think>")
    before, opening, region = conclusion.rpartition("<answer>")
    answer, end, after = region.partition("</answer>")
    del head, before, after
    stripped = answer.strip() if closing and opening and end else ""
    whole = f"<think>{text}" if is_opened else text
    return ThinkAnswer(stripped or None, bool(stripped) and _EXACT_FORMAT.fullmatch(whole) is not None)


def extract(text: str, style: Style = Style.FLEXIBLE, is_opened: bool = False) -> Extraction:
    """The committed answer of a completion, in time linear in its length.

    Region first (`thinking.answer_region`): only what follows the last thought counts, and a thought left open leaves
    nothing. A region above 100,000 characters is cut to its last 20,000. In it the last marker of the style decides. A
    malformed last marker is bad_format: no earlier one, and no other style, is tried in its place. `is_opened`: the
    prompt has opened a thought.
    """
    found_region = answer_region(text, is_opened)
    region = found_region.text
    if found_region.is_open:
        return Extraction(None, style, Verdict.NO_ANSWER, detail="<think> is not closed")
    if style is Style.THINK_ANSWER and found_region.closed is None:
        return Extraction(None, style, Verdict.NO_ANSWER, detail="no </think>")
    if len(region) > MAX_REGION:
        region = region[-REGION_KEPT:]
    if style is Style.FLEXIBLE:
        region = _LOOSE_TAG.sub(r"<\1>", region)
    for tried in _order(region) if style is Style.FLEXIBLE else (style,):
        found = FINDERS[tried](region)
        if found is None:
            continue
        if tried is Style.THINK_ANSWER and found.answer is not None:
            return replace(found, is_exact=think_answer(text, is_opened).is_exact)
        return found
    return Extraction(None, style, Verdict.NO_ANSWER, detail=f"no {style} marker after the thinking")


def _order(region: str) -> Sequence[Style]:
    """The styles in the order in which FLEXIBLE tries them: a line `Answer: D` below a box goes before the box."""
    styles = list(FINDERS)
    if "boxed" in region and has_later_answer_line(region) and "answer>" not in region:
        styles.remove(Style.ANSWER_IS)
        styles.insert(0, Style.ANSWER_IS)
    return styles
