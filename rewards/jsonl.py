"""JSON lines, gzipped or not: ours, and as people bring them, where every bad line is named and none is passed over."""

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doubleback.rewards.types import ConfigError

GZIPPED = ".gz"
MAX_LISTED = 10
"""Bad lines in one message."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file."""

    number: int
    """From 1."""
    data: dict[str, Any]


def to_lines(records: Iterable[Mapping[str, Any]], is_gzipped: bool = False) -> bytes:
    """The records as JSON, a line each, in UTF-8. What JSON has no form for is written as its text."""
    # A lone surrogate, which UTF-8 has not, becomes the escape that JSON reads back.
    lines = [json.dumps(record, ensure_ascii=False, default=str) + "\n" for record in records]
    content = "".join(lines).encode("utf-8", "backslashreplace")
    # No time stamp in the header: equal lines are equal files.
    return gzip.compress(content, 6, mtime=0) if is_gzipped else content


def complete_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file that `to_lines` made, but for one torn by a crash; none where there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in _content(path).split(b"\n")[:-1]]


def read_rows(path: Path, required: Sequence[Sequence[str]] = ()) -> list[Row]:
    """The rows of a file; ConfigError lists those that `parse_rows` finds bad."""
    rows, problems = parse_rows(path, required)
    refuse(problems)
    return rows


def given_rows(values: Sequence[Any], place: str, required: Sequence[Sequence[str]] = ()) -> list[Row]:
    """Rows that are given as values, checked as those of a file are; `place` is where they were given."""
    rows, problems = [], []
    for number, value in enumerate(values, start=1):
        try:
            rows.append(Row(number, _checked(value, required)))
        except ValueError as error:
            problems.append(f"{place}:{number}: {error}")
    refuse(problems or ([] if rows else [f"{place} has no rows"]))
    return rows


def parse_rows(path: Path, required: Sequence[Sequence[str]] = ()) -> tuple[list[Row], list[str]]:
    """The objects of a file, empty lines left out, and a line for each that is bad: no UTF-8, no JSON object, or
    without a required key. `required`: of each group of keys, a row must have one.

    ConfigError where the file cannot be read or has no rows.
    """
    try:
        lines = _content(path).split(b"\n")
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
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


def _content(path: Path) -> bytes:
    """The bytes of a file, unpacked where its name ends in .gz."""
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == GZIPPED else content


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
    return _checked(data, required)


def _checked(data: Any, required: Sequence[Sequence[str]]) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ValueError(f"no JSON object, but {type(data).__name__}")
    for names in required:
        if all(data.get(name) is None for name in names):
            raise ValueError(f"no {' or '.join(map(repr, names))}; the row has {', '.join(data) or 'no keys'}")
    return data
