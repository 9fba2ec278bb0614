"""Items from the process of reasoning-gym: asked for, awaited no longer than a deadline, and read as data."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from doubleback.rewards.types import ConfigError, first_line

CHILD: Sequence[str] = (sys.executable, "-m", "doubleback.recipes.tasks.reasoning_gym.child")
"""The command that answers a request on its input."""
INSTALL = "pip install 'doubleback[gym]'"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request."""

    dataset: str
    size: int
    """Items of each level."""
    seed: int
    config: Mapping[str, Any]
    """Fields of the data set's own configuration."""
    levels: Sequence[int]
    """Levels of the data set's own curriculum; none for its defaults."""


@dataclass(frozen=True, slots=True)
class Item:
    """A question as it was generated."""

    question: str
    answer: str
    level: int


def generate(wanted: Wanted, timeout_seconds: float) -> list[Item]:
    """The items, in their order. ConfigError, naming the key, where the process gives none, not all, or not in time."""
    place = f"task.dataset={wanted.dataset}"
    try:
        done = subprocess.run(
            CHILD,
            input=json.dumps(asdict(wanted)),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"{place}: the generator of reasoning-gym did not end within task.timeout_seconds={timeout_seconds:g}; "
            f"lower task.size={wanted.size} or raise the first"
        ) from None
    *lines, last = done.stdout.splitlines() or [""]
    end = _object(last)
    if "missing" in end:
        raise ConfigError(
            f"{place} needs the package reasoning-gym, which is not whole here ({end['error']}): {INSTALL}"
        )
    if "error" in end:
        raise ConfigError(
            f"{place} with task.config and task.levels as they are: {first_line(ValueError(end['error']))}"
        )
    if end.get("num_items") != len(lines) or not lines:
        said = (done.stderr.strip().splitlines() or ["nothing on its error stream"])[-1]
        raise ConfigError(f"{place}: the generator ended with {done.returncode} after {len(lines)} items: {said[:200]}")
    return [_item(place, line) for line in lines]


def _object(line: str) -> dict[str, Any]:
    """What a line holds; nothing where it is no JSON object."""
    try:
        read = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _item(place: str, line: str) -> Item:
    read = _object(line)
    question, answer, level = read.get("question"), read.get("answer"), read.get("level")
    if not (isinstance(question, str) and question.strip() and type(level) is int):
        raise ConfigError(f"{place}: the generator of reasoning-gym gave an item without a question: {line[:200]}")
    # What is no text is no short answer either: it is left out, and counted, with those that are too long.
    return Item(question, answer if isinstance(answer, str) else "", level)
