"""JSON lines, gzipped or not: ours, and as people bring them, where every bad line is named and none is passed over."""

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doubleback.rewards.records import ANEW, Record
from doubleback.rewards.regular import file_bytes
from doubleback.rewards.types import MAX_SHOWN, ConfigError, shortened

GZIPPED = ".gz"
NUM_NAMED = 3
"""Rows that were left out which are named; the others are counted."""
MAX_NESTING = 100
"""How deep the lists and objects of a row may stand in one another."""
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
"""Brackets; a text, in which they are none, is one piece."""
BOM = b"\xef\xbb\xbf"
"""Some programs begin a UTF-8 file with it."""


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
    text = "".join(lines).encode("utf-8", "backslashreplace")
    # No time stamp in the header: equal lines are equal files.
    return gzip.compress(text, 6, mtime=0) if is_gzipped else text


def complete_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file that `to_lines` made, but for one torn by a crash; none where there is no file.

    Each is a `Record`. ConfigError names a line that is no object.
    """
    if not path.exists():
        return []
    return [own_line(line, f"{path}:{number}") for number, line in enumerate(content(path).split(b"\n")[:-1], start=1)]


def given_rows(
    values: Sequence[Any],
    place: str,
    required: Sequence[Sequence[str]] = (),
    kept: frozenset[str] | None = None,
) -> list[Row]:
    """Rows that are given as values, checked as those of a file are; `place` is where they were given."""
    rows, bad = checked_rows(enumerate(values, start=1), place, required, kept)
    refuse(bad or ([] if rows else [f"{place} has no rows"]))
    return rows


def line_values(text: bytes) -> Iterator[tuple[int, Any]]:
    """(number from 1, value) of each line of JSON, empty lines left out; for one that is none, the ValueError why."""
    for number, line in enumerate(text.split(b"\n"), start=1):
        if line.strip():
            yield number, _parsed(line)


def checked_rows(
    numbered: Iterable[tuple[int, Any]],
    place: str,
    required: Sequence[Sequence[str]] = (),
    kept: frozenset[str] | None = None,
) -> tuple[list[Row], list[str]]:
    """The rows that are objects with the required keys, and a line for each that is bad.

    `required`: of each group of keys, a row must have one (`field`). `kept`: the keys that are kept of it; None: all.
    """
    rows, bad = [], []
    for number, value in numbered:
        try:
            data = _checked(value, required)
            rows.append(Row(number, data if kept is None else {key: data[key] for key in data if key in kept}))
        except ValueError as error:
            bad.append(f"{place}:{number}: {error}")
    return rows, bad


def field(data: Mapping[str, Any], name: str) -> Any:
    """The value of a field, or of one inside another: `reward_model.ground_truth`. None where there is none."""
    if name in data or "." not in name:
        return data.get(name)
    outer, _, inner = name.partition(".")
    held = data.get(outer)
    return field(held, inner) if isinstance(held, Mapping) else None


def content(path: Path) -> bytes:
    """The text of a file, unpacked where its name ends in .gz, without a BOM. ConfigError where it cannot be read."""
    try:
        return _unpacked(path).removeprefix(BOM)
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _unpacked(path: Path) -> bytes:
    packed = file_bytes(path)
    return gzip.decompress(packed) if path.suffix == GZIPPED else packed


def keys_in_words(data: Iterable[str]) -> str:
    """The keys of a row, cut where they are many or long."""
    names, length = list[str](), 0
    for name in data:
        length += len(name) + 2
        if length > MAX_SHOWN:
            return ", ".join([*names, f"{name[: MAX_SHOWN // 2]} ..."])
        names.append(name)
    return ", ".join(names) or "no keys"


def refuse(bad: Sequence[str], way_out: str = "") -> None:
    """ConfigError with the first of the bad rows, the number of the others and the way out; nothing without any."""
    if bad:
        more = f" (and {len(bad) - 1:,} more bad rows)" if len(bad) > 1 else ""
        raise ConfigError(f"{bad[0]}{more}{way_out}")


def left_out(bad: Sequence[str], reason: str = "") -> str:
    """The line about the rows that were left out, by a key or for being bad: how many, and the first of them."""
    rows = "1 row" if len(bad) == 1 else f"{len(bad):,} rows"
    return f"{rows} left out{f' by {reason}' if reason else ''}: {'; '.join(bad[:NUM_NAMED])}"


def json_value(text: bytes) -> Any:
    """The value of a JSON text. ValueError or RecursionError where it is none, or where an object has a key twice:
    nobody knows which was meant.
    """
    return json.loads(text.decode(), object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = Counter(name for name, _ in pairs)
        raise ValueError(f"the key {shortened(max(names, key=names.__getitem__))} stands twice")
    return made


def _is_deep(text: bytes) -> bool:
    """Whether brackets stand more than `MAX_NESTING` deep in a JSON text: what walks such a value would overflow."""
    if text.count(b"[") + text.count(b"{") <= MAX_NESTING:
        return False
    depth = deepest = 0
    for piece in _BRACKETS.finditer(text):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(piece.group(), 0)
        deepest = max(deepest, depth)
    return deepest > MAX_NESTING


def own_line(line: bytes, place: str) -> Record:
    """The object in a line of a file of ours. ConfigError where it holds none."""
    value = _parsed(line)
    if not isinstance(value, dict):
        what = value if isinstance(value, ValueError) else f"no JSON object, but {type(value).__name__}"
        raise ConfigError(f"{place}: {what}; that file of ours was damaged: {ANEW}")
    return Record(value, place)


def _parsed(line: bytes) -> Any:
    """The value of a line, or the ValueError that says why it has none."""
    try:
        if _is_deep(line):
            return ValueError(f"nested more than {MAX_NESTING} deep")
        return json_value(line)
    except UnicodeDecodeError as error:
        return ValueError(f"not UTF-8 ({error.reason} at byte {error.start})")
    except (ValueError, RecursionError) as error:  # no JSONDecodeError alone: so is a number of 4,301 digits refused
        return ValueError(f"no JSON ({error})")


def _checked(data: Any, required: Sequence[Sequence[str]]) -> dict[str, Any]:
    if isinstance(data, ValueError):
        raise data
    if not isinstance(data, dict):
        raise ValueError(f"no JSON object, but {type(data).__name__}")
    for names in required:
        if all(field(data, name) is None for name in names):
            raise ValueError(f"no {' or '.join(map(repr, names))}; the row has {keys_in_words(data)}")
    return data
