"""Files that appear whole or not at all, and a full disk in one line."""

import errno
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from doubleback.rewards.types import ConfigError

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def to_json(record: dict[str, Any]) -> str:
    """One line; NaN and infinities, which JSON has not, become null."""
    return json.dumps({key: None if _is_undefined(value) else value for key, value in record.items()})


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary name, flush to the disk, rename: `path` holds the old bytes or the new ones, never half."""
    temporary = path.with_name(path.name + ".tmp")
    with explained(path):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """A full disk becomes one line; what was saved before stays as it is."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise ConfigError(
            f"no space left to write {path} ({error.strerror}); the checkpoints already saved are intact: free some "
            f"space and continue with --resume"
        ) from error


def _is_undefined(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
