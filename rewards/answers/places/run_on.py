"""Where a base model runs on with another question after it has answered: what follows answers nothing."""

import re

_NAMES = r"(?:Question|Problem|Exercise|Human|User|Instruction|Input|Q)"
_HEADING = re.compile(rf"\n[ \t]*(?:#{{1,4}} ?)?(?:\*\*)?{_NAMES}(?: ?[0-9]{{1,3}})?(?:\*\*)?:")
_HEADING_AT_START = re.compile(rf"\s*(?:#{{1,4}} ?)?(?:\*\*)?{_NAMES}\b", re.IGNORECASE)
_STATED = re.compile(r"\\boxed ?\{|####|\banswer\W{0,4}(?:is\b|:)", re.IGNORECASE)
_ANSWERED = re.compile(
    r"\n[ \t]*(?:#{1,4} ?)?(?:\*\*)?(?:Answer|Solution|Assistant|Response|Output|A)(?:\*\*)?:", re.IGNORECASE
)
_DIGIT = re.compile(r"[0-9]")


def before_run_on(region: str) -> str:
    """The part of a region before a heading that poses another question; all of it where the run-on is not plain.

    Plain: the part before states an answer by a marker, or at least names a number where the run-on has an answer of
    its own; and it has no such heading itself, for a text that takes the question apart poses questions on its way.
    """
    heading = _HEADING.search(region)
    if heading is None or _HEADING_AT_START.match(region):
        return region
    before = region[: heading.start()].rstrip()
    is_answered = _ANSWERED.search(region, heading.end()) is not None and _DIGIT.search(before) is not None
    return before if _STATED.search(before) or is_answered else region
