"""Where in a completion the answer stands that was judged, and how it was marked there."""

from dataclasses import dataclass

from doubleback.rewards.answers.extract import Style, extract

SAYS = {
    Style.THINK_ANSWER: "between the answer tags",
    Style.BOXED: "in the last box",
    Style.HASH: "behind the last ####",
    Style.ANSWER_IS: 'in the last sentence that says "the answer is"',
    Style.LAST_NUMBER: "as the last number",
}
"""Style -> where an answer of that style stands."""


@dataclass(frozen=True, slots=True)
class Found:
    """Of the text that was judged."""

    start: int
    """Its first character in the completion; -1 where the answer was rewritten before it was judged."""
    end: int
    rule: str
    """How it was found, in words; nothing where that is not known."""


def find_answer(completion: str, extracted: str | None, style: Style) -> Found:
    """Where the extracted answer stands in the completion: at its last place, as every rule takes the last."""
    start = -1 if not extracted else completion.rfind(extracted)
    if extracted is None:
        return Found(-1, -1, "")
    end = start + len(extracted) if start >= 0 else -1
    if start >= 0 and completion[:start].rstrip().endswith("<answer>"):
        return Found(start, end, SAYS[Style.THINK_ANSWER])
    extraction = extract(completion, style)
    is_same = extraction.answer is not None and extraction.answer.strip() == extracted.strip()
    return Found(start, end, SAYS.get(extraction.style, "") if is_same else "")
