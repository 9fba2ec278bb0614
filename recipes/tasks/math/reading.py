"""What the sources of a task gave: problems, where each of them stands, and what was left out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from doubleback.rewards.answers.grade import gold_answers
from doubleback.rewards.answers.messages import HASH_DIGITS
from doubleback.rewards.jsonl import refuse
from doubleback.rewards.types import ConfigError, Problem

GOLD_MARKS = {"hash": ("####",), "boxed": ("\\boxed", "\\fbox")}
"""Form of a gold -> what the text that holds it shows; one of them is enough."""


@dataclass(frozen=True, slots=True)
class Read:
    """What one source gave, or several."""

    problems: dict[str, Problem]
    """By id, in the order of the rows."""
    places: dict[str, str]
    """Id -> file and line."""
    skipped: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Key that leaves rows out -> a line for each of them."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that is no problem."""

    reason: str
    """The key that leaves it out."""
    why: str


def divided(read: Read, share: float) -> tuple[Read, Read]:
    """The share that is held out, and the rest. Where a question goes depends on the question and the share alone."""
    limit = (1 - share) * 16**HASH_DIGITS
    held = {identity: problem for identity, problem in read.problems.items() if int(identity, 16) >= limit}
    rest = {identity: problem for identity, problem in read.problems.items() if identity not in held}
    return Read(held, read.places), Read(rest, read.places, read.skipped)


def joined(*parts: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The lines of several, key by key."""
    keys = dict.fromkeys(key for part in parts for key in part)
    return {key: [line for part in parts for line in part.get(key, ())] for key in keys}


def refuse_by_source(lines: Mapping[str, Sequence[str]], way_out: str = "") -> None:
    """ConfigError with a line for each source that has any."""
    refused = []
    for of_one in lines.values():
        try:
            refuse(of_one, way_out)
        except ConfigError as error:
            refused.append(str(error))
    if refused:
        raise ConfigError("\n".join(refused))


def require_gold(answer: Any, form: str | None) -> None:
    """ConfigError where no gold can be read of an answer, or its text is not of the form that its data set has."""
    gold_answers(answer)
    if form is None:
        return
    for text in answer if isinstance(answer, list | tuple) else [answer]:
        if not (isinstance(text, str) and any(mark in text for mark in GOLD_MARKS[form])):
            raise ConfigError(f"no {GOLD_MARKS[form][0]} in the answer, as task.gold_form={form} says: ...{text!s:.80}")


def level_number(value: Any) -> int | None:
    """The whole number that a level is, or that stands in its text (`Level 3`); None where there is none."""
    if isinstance(value, str):
        match = re.search(r"\d+", value)
        return int(match[0]) if match else None
    is_whole = isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
    return int(value) if is_whole else None
