"""Files that appear whole or not at all, where nobody can plant another, and what a disk refuses in one line."""

import errno
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from doubleback.rewards.types import RunError

TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{16}\.tmp")
"""Name of what is not yet whole: `.metrics.jsonl.5f0c3d2e9a81b746.tmp`. Half of it is drawn anew each time, so that
nobody who may write into the folder can lay a link there before."""
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
END = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REFUSALS = {
    *(errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.ESTALE, errno.ENXIO, errno.EMFILE, errno.ENFILE),
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP, errno.ENAMETOOLONG),
}
"""What a system says of a place where it lets nobody write."""


def to_json(record: dict[str, Any]) -> str:
    """One line; NaN and infinities, which JSON has not, become null."""
    return json.dumps({key: None if _is_undefined(value) else value for key, value in record.items()})


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that appears whole: `path` holds the old bytes or the new ones, never half."""
    with explained(path), _in_place_of(path) as temporary:
        _write(temporary, NEW, content)


def append(path: Path, content: bytes) -> None:
    """Add whole lines at the end of a file, flushed to the disk: a crash tears the last one at most."""
    with explained(path):
        is_new = not path.exists()
        _write(path, END, content)
        if is_new:
            _flush(path.parent)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `path` at the end of the block; where the block fails, nothing is left."""
    with explained(path):
        make_folder(path.parent)
        with _in_place_of(path) as temporary:
            temporary.mkdir()
            yield temporary


def remove_folder(path: Path) -> None:
    """Delete a folder; a crash leaves it whole, or what `remove_unfinished` deletes."""
    with explained(path):
        temporary = _temporary(path)
        path.replace(temporary)
        shutil.rmtree(temporary)


def make_folder(path: Path) -> None:
    """Make the folder and those above it where they are missing; after a crash all of them are still there.

    OSError where the system refuses.
    """
    if path.is_dir():
        return
    if not path.parent.exists():
        make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _flush(path.parent)


def is_within(path: Path, folder: Path) -> bool:
    """Whether the path is the folder's, or of something below it; links are not followed."""
    return path.absolute().is_relative_to(folder.absolute())


def remove_unfinished(folder: Path) -> None:
    """Delete what a process that was killed had begun in `folder` with this module, and nothing else."""
    for path in folder.iterdir():
        if TEMPORARY.fullmatch(path.name) is None or path.is_symlink():
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def private_files(is_private: bool) -> Iterator[None]:
    """Within the block what this process and those that it starts make is the user's alone (umask 077), if so asked."""
    if not is_private:
        yield
        return
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _in_place_of(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; what stands under it at the end of the block is flushed, then renamed.

    In this order: a rename that reached the disk before the bytes would leave an empty file after a crash.
    """
    temporary = _temporary(path)
    try:
        yield temporary
        for written in [*sorted(temporary.rglob("*")), temporary]:  # a file has nothing inside
            _flush(written)
        temporary.replace(path)
        _flush(path.parent)
    except BaseException:
        with suppress(OSError):  # what is left is removed by the next run; the first error is the one to tell
            if temporary.is_dir():
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                temporary.unlink(missing_ok=True)
        raise


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def _write(path: Path, flags: int, content: bytes) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """What a disk refuses is a RunError, one line; what was saved before stays as it is."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        number = next((number for number in (*DISK_ERRORS, *REFUSALS) if _is_of(error, number)), None)
        if number is None or not _is_about(error, path.parent):
            raise
        if number in DISK_ERRORS:
            raise RunError(
                f"no space left to write {path} ({os.strerror(number)}); what is already saved is intact: free some "
                f"space and run the same command again, a training run with --resume"
            ) from error
        raise RunError(
            f"{path} cannot be written ({os.strerror(number)}); what is already saved is intact: mend it and run the "
            f"same command again, a training run with --resume"
        ) from error


def _is_of(error: Exception, number: int) -> bool:
    """Whether the system said `number`; safetensors, which is not Python, has it in its text."""
    return (isinstance(error, OSError) and error.errno == number) or f"(os error {number})" in str(error)


def _is_about(error: Exception, folder: Path) -> bool:
    """Whether it was said of something in the folder; what fails while it is written has no name."""
    name = getattr(error, "filename", None)
    if isinstance(error, ConnectionError | TimeoutError):
        return False
    return not isinstance(name, str | os.PathLike) or is_within(Path(name), folder)


def _is_undefined(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
