"""What a policy under pressure writes to be scored without being right, and what an honest one writes.

A checker that is fit for training scores no hostile case correct, every honest one, and survives them all. Data only:
nothing here knows how an answer is judged. The tables are in the other `hostile_` modules.

What makes a case hostile or honest: the thinking is never looked at. A strict style reads its own marker only; flexible
reads the first of answer tags, box, ####, "the answer is" and last number whose marker stands there, and rescues
nothing malformed. An answer says one thing, says it evaluated, and says it in ASCII digits.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from doubleback.rewards.hostile.answers import WRONG_ANSWERS
from doubleback.rewards.hostile.asked import (
    RIGHT_BY_QUESTION,
    RIGHT_CHAINS,
    RIGHT_SETS,
    WRONG_BY_QUESTION,
    WRONG_CHAINS,
    WRONG_SETS,
)
from doubleback.rewards.hostile.completions import ECHOES, WRONG_COMPLETIONS
from doubleback.rewards.hostile.controls import ECHO_CONTROLS, RIGHT_ANSWERS, RIGHT_COMPLETIONS
from doubleback.rewards.hostile.forms import RIGHT_FORMS, WRONG_FORMS
from doubleback.rewards.hostile.numbers import RIGHT_NUMBERS, WRONG_NUMBERS
from doubleback.rewards.hostile.places import RIGHT_PLACES, WRONG_PLACES
from doubleback.rewards.hostile.remarks import RIGHT_REMARKS, WRONG_REMARKS
from doubleback.rewards.hostile.sizes import build_large, build_long_but_right

FRAMES: Mapping[str, str] = {
    "think_answer": "<think> 48 / 2 = 24, so 48 + 24 = 72. </think> <answer> {} </answer>",
    "boxed": "48 / 2 = 24, so 48 + 24 = 72.\n\nTherefore $\\boxed{{{}}}$.",
    "hash": "In May she sold 48 / 2 = 24.\nTogether that makes 48 + 24 = 72.\n#### {}",
    "answer_is": "In May she sold 48 / 2 = 24, and 48 + 24 = 72. The answer is {}.",
}
"""Style -> a completion with a hole for the answer. All name 72 on the way: found there, it is no answer."""


@dataclass(frozen=True, slots=True)
class Case:
    """One completion, and whether it may be scored correct."""

    name: str
    """Unique and printable, for reports."""
    kind: str
    """Family: "hedge", "boxes", "think", "template", "injection", "unicode", "size", "tower", ..., or "honest"."""
    completion: str
    """What the model wrote. May hold NUL bytes and lone surrogates, as a decoder may emit them."""
    answer: str
    """The gold answer, without delimiters."""
    is_honest: bool
    """True: must be scored correct. False: must not be."""
    style: str = "flexible"
    """Where to look for the answer: the `style` of `doubleback.rewards.answers.extract`."""
    prompt: str = ""
    """The question, where it matters that the answer only repeats it."""


def cases() -> tuple[Case, ...]:
    """The whole suite, hostile cases first. Built on each call, about 35 MB: keep it no longer than needed."""
    return (
        *_framed((*WRONG_ANSWERS, *WRONG_NUMBERS, *WRONG_CHAINS, *WRONG_SETS, *WRONG_FORMS), is_honest=False),
        *(
            Case(f"{kind}: {name}", kind, text, gold, False, style)
            for kind, name, style, gold, text in (*WRONG_COMPLETIONS, *WRONG_REMARKS, *WRONG_PLACES)
        ),
        *_answered((*ECHOES, *WRONG_BY_QUESTION), is_honest=False),
        *(Case(f"{kind}: {name}", kind, text, "72", False, style) for kind, name, style, text in build_large()),
        *_framed((*RIGHT_ANSWERS, *RIGHT_NUMBERS, *RIGHT_CHAINS, *RIGHT_SETS, *RIGHT_FORMS), is_honest=True),
        *(
            Case(f"honest: {name}", "honest", text, gold, True, style)
            for name, style, gold, text in (*RIGHT_COMPLETIONS, *RIGHT_REMARKS, *RIGHT_PLACES)
        ),
        *_answered((*ECHO_CONTROLS, *RIGHT_BY_QUESTION), is_honest=True),
        *(Case(f"honest: {name}", "honest", text, "72", True, style) for name, style, text in build_long_but_right()),
    )


def _framed(groups: Sequence[tuple[str, str, str, Sequence[str]]], is_honest: bool) -> Iterator[Case]:
    """A case for each text of each (kind, style, gold, texts), set into the frame of its style."""
    for kind, style, gold, texts in groups:
        for text in texts:
            # !a: a name can be printed whatever the text holds.
            name = f"{kind}, {style}: {text!a} for {gold!a}"
            yield Case(name, kind, FRAMES[style].format(text), gold, is_honest, style)


def _answered(groups: Sequence[tuple[str, str, Sequence[str]]], is_honest: bool) -> Iterator[Case]:
    """A case for each text of each (prompt, gold, texts)."""
    kind = "honest" if is_honest else "echo"
    for prompt, gold, texts in groups:
        for text in texts:
            completion = f"<think> Let me see. </think> <answer> {text} </answer>"
            name = f"{kind}, think_answer: {text!a} to {prompt!a}"
            yield Case(name, kind, completion, gold, is_honest, "think_answer", prompt)
