"""What the sources of a task gave: problems, where each of them stands, and what was left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from doubleback.rewards.answers.messages import HASH_DIGITS
from doubleback.rewards.jsonl import refuse
from doubleback.rewards.types import ConfigError, Problem


@dataclass(frozen=True, slots=True)
class Read:
    """What one source gave, or several."""

    problems: dict[str, Problem]
    """By id, in the order of the rows."""
    places: dict[str, str]
    """Id -> file and line."""
    skipped: tuple[str, ...] = ()
    """A line for each row that was left out."""


def divided(read: Read, share: float) -> tuple[Read, Read]:
    """The share that is held out, and the rest. Where a question goes depends on the question and the share alone."""
    limit = (1 - share) * 16**HASH_DIGITS
    held = {identity: problem for identity, problem in read.problems.items() if int(identity, 16) >= limit}
    rest = {identity: problem for identity, problem in read.problems.items() if identity not in held}
    return Read(held, read.places), Read(rest, read.places, read.skipped)


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
