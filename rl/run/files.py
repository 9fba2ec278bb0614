"""Files that appear whole or not at all, and a full disk in one line."""

import errno
import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from doubleback.rewards.types import RunError

TEMPORARY = ".tmp"
"""End of the name of what is not yet whole."""
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def to_json(record: dict[str, Any]) -> str:
    """One line; NaN and infinities, which JSON has not, become null."""
    return json.dumps({key: None if _is_undefined(value) else value for key, value in record.items()})


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that appears whole: `path` holds the old bytes or the new ones, never half."""
    with explained(path), _in_place_of(path) as temporary:
        temporary.write_bytes(content)


def append(path: Path, content: bytes) -> None:
    """Add whole lines at the end of a file, flushed to the disk: a crash tears the last one at most."""
    with explained(path), path.open("ab") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `path` at the end of the block; where the block fails, nothing is left."""
    with explained(path), _in_place_of(path) as temporary:
        shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
        temporary.mkdir(parents=True)
        yield temporary


def remove_unfinished(folder: Path) -> None:
    """Delete the folders that a process which was killed had begun in `folder`."""
    for path in folder.glob(f"*{TEMPORARY}"):
        shutil.rmtree(path)


@contextmanager
def _in_place_of(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; what stands under it at the end of the block is flushed, then renamed.

    In this order: a rename that reached the disk before the bytes would leave an empty file after a crash.
    """
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        yield temporary
        for written in [*sorted(temporary.rglob("*")), temporary]:  # a file has nothing inside
            _flush(written)
        temporary.replace(path)
        _flush(path.parent)
    except BaseException:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
        raise


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """A full disk is a RunError, one line; what was saved before stays as it is."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = next((os.strerror(number) for number in DISK_ERRORS if _is_of(error, number)), None)
        if reason is None:
            raise
        raise RunError(
            f"no space left to write {path} ({reason}); what is already saved is intact: free some space and "
            f"run the same command again, a training run with --resume"
        ) from error


def _is_of(error: Exception, number: int) -> bool:
    """Whether the system said `number`; safetensors, which is not Python, has it in its text."""
    return (isinstance(error, OSError) and error.errno == number) or f"(os error {number})" in str(error)


def _is_undefined(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
