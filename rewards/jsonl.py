"""JSON lines as people bring them: every bad line is named, none is passed over."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doubleback.rewards.types import ConfigError

MAX_LISTED = 10
"""Bad lines in one message."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file."""

    number: int
    """From 1."""
    data: dict[str, Any]


def read_rows(path: Path, required: Sequence[Sequence[str]] = ()) -> list[Row]:
    """The rows of a file; ConfigError lists those that `parse_rows` finds bad."""
    rows, problems = parse_rows(path, required)
    refuse(problems)
    return rows


def parse_rows(path: Path, required: Sequence[Sequence[str]] = ()) -> tuple[list[Row], list[str]]:
    """The objects of a file, empty lines left out, and a line for each that is bad: no UTF-8, no JSON object, or
    without a required key. `required`: of each group of keys, a row must have one.

    ConfigError where the file cannot be read or has no rows.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    rows, problems = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(Row(number, _parse(line, required)))
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}")
    if not rows and not problems:
        raise ConfigError(f"{path} has no rows")
    return rows, problems


def refuse(problems: Sequence[str]) -> None:
    """ConfigError with the first of these lines and the number of the others; nothing where there are none."""
    if problems:
        more = [f"... and {len(problems) - MAX_LISTED} more lines like these"] if len(problems) > MAX_LISTED else []
        raise ConfigError("\n".join([*problems[:MAX_LISTED], *more]))


def _parse(line: bytes, required: Sequence[Sequence[str]]) -> dict[str, Any]:
    try:
        data = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 ({error.reason} at byte {error.start})") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"no JSON ({error})") from error
    if not isinstance(data, dict):
        raise ValueError(f"no JSON object, but {type(data).__name__}")
    for names in required:
        if all(data.get(name) is None for name in names):
            raise ValueError(f"no {' or '.join(map(repr, names))}; the row has {', '.join(data) or 'no keys'}")
    return data
