"""The lines of a file of ours, each parsed where it is asked for: most of a sample is its tokens, which few read."""

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from doubleback.rewards.jsonl import content, own_line
from doubleback.rewards.records import Record


class StoredLines:
    """The lines of a file that `to_lines` made, but for one torn by a crash; none where there is no file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._texts = content(path).split(b"\n")[:-1] if path.exists() else []

    def __len__(self) -> int:
        """How many there are."""
        return len(self._texts)

    def line(self, place: int) -> Record:
        """The line at a place, parsed. ConfigError names one that is no object."""
        return own_line(self._texts[place], f"{self._path}:{place + 1}")

    def values(self, key: str) -> list[Any]:
        """The value of a key that holds a text, a number or nothing in every line, with nothing else of it read.

        None where a line has no such key. Of a key that a line has in objects within it too, the first is taken.
        """
        return [self._value(place, text, key) for place, text in enumerate(self._texts)]

    def columns(self, keys: Sequence[str]) -> list[dict[str, Any]]:
        """These keys of every line."""
        columns = zip(*map(self.values, keys), strict=True)
        return [dict(zip(keys, values, strict=True)) for values in columns]

    def _value(self, place: int, text: bytes, key: str) -> Any:
        found = _pattern(key).search(text)
        return self.line(place).get(key) if found is None else json.loads(found[1])


@cache
def _pattern(key: str) -> re.Pattern[bytes]:
    # A quotation mark inside of a text has a backslash before it: what is matched here is a key of ours.
    return re.compile(rb'[{ ]"%s": ("(?:[^"\\]|\\.)*+"|[^][{}",]+)[,}]' % re.escape(key).encode())
