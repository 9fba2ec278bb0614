"""What our own files hold, read so that whatever a file lacks is one line: it was damaged, or is another version's."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from doubleback.rewards.regular import file_text
from doubleback.rewards.types import ConfigError

ANEW = "make it anew"
"""What to do about a file that nobody has a better word for."""


class Record(dict[str, Any]):
    """An object of a file; ConfigError, naming file and key, where it is asked for a key that it has not."""

    def __init__(self, values: Mapping[str, Any], place: str | Path, way_out: str = ANEW) -> None:
        super().__init__(values)
        self._place, self._way_out = place, way_out

    def __missing__(self, key: str) -> Any:
        raise ConfigError(
            f"{self._place} has no {key!r}: it was damaged, or another version of doubleback wrote it; {self._way_out}"
        )

    def __ror__(self, before: Mapping[str, Any]) -> "Record":  # type: ignore[override]
        """The same object, with what another has beside it."""
        return Record({**before, **self}, self._place, self._way_out)


def read_record(path: Path, way_out: str = ANEW) -> Record:
    """The JSON object in a file, every object inside it a `Record` too. ConfigError where it cannot be read."""
    try:
        values = json.loads(file_text(path))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path} cannot be read ({reason}); {way_out}") from error
    return records(values, path, way_out)


def records(values: Any, place: str | Path, way_out: str = ANEW) -> Record:
    """An object that was read from a file, and every object inside it, as a `Record`. ConfigError where it is none."""
    if not isinstance(values, dict):
        raise ConfigError(f"{place} holds no object, but {type(values).__name__}; {way_out}")
    inner = {key: records(value, place, way_out) if isinstance(value, dict) else value for key, value in values.items()}
    return Record(inner, place, way_out)
