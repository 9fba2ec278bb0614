"""One owner: who works in a folder, or on a file, holds a lock beside the work; a second one is refused by name.

The lock (filelock) is the kernel's, so that a process that was killed holds nothing; the file tells who holds it.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from doubleback.rewards.regular import file_text
from doubleback.rewards.types import ConfigError, RunError
from doubleback.rl.run.files import is_within, make_folder, private_files

LOCK = ".owner"
"""The lock's name in an owned folder; beside a file or a folder yet to be made, `.NAME.owner`."""


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """`folder` is made where it is missing and belongs to this block alone; left empty, it is removed.

    ConfigError where it cannot be written, or names the owner that it has; RunError for what the system says of a file
    in it meanwhile.
    """
    with _explained(folder):
        make_folder(folder)
    try:
        with _locked(folder / LOCK, folder), _explained_within(folder):
            yield
    finally:
        with suppress(OSError):  # not empty
            folder.rmdir()


@contextmanager
def owned_output(path: Path) -> Iterator[None]:
    """Only this block makes the file or folder `path`, in a folder that is made where it is missing.

    Errors as of `owned`.
    """
    with _explained(path):
        make_folder(path.parent)
    with _locked(path.with_name(f".{path.name}{LOCK}"), path), _explained_within(path.parent):
        yield


def require_new_folder(out: Path) -> None:
    """ConfigError where something lies at the folder that --out names."""
    if out.exists():
        raise ConfigError(f"--out {out} exists already; choose another folder")


def require_new_file(out: Path, force: bool) -> None:
    """ConfigError where something lies at the file that --out names, unless --force says to overwrite it."""
    if out.exists() and not force:
        raise ConfigError(f"--out {out} exists already; choose another file, or overwrite it with --force")


@contextmanager
def claimed(folder: Path, is_private: bool = False) -> Iterator[Path]:
    """A new folder of this name; where somebody was quicker, of this name and a number. Left empty, it is removed.

    `is_private`: nobody else can look into it, whatever the folders above it let through.
    """
    with _explained(folder):
        make_folder(folder.parent)
    with _explained(folder), private_files(is_private):
        made = next(path for path in _numbered(folder) if _is_made(path))
    try:
        yield made
    finally:
        with suppress(OSError):  # not empty, or removed by its owner
            made.rmdir()


def owner_of(folder: Path) -> str | None:
    """Who works in `folder` now: process, host and since when. None where nobody does."""
    path = folder / LOCK
    if not path.exists():
        return None
    try:
        with FileLock(path, blocking=False):
            return None
    except Timeout:
        return _owner(path)


@contextmanager
def _locked(lock: Path, path: Path) -> Iterator[None]:
    held = FileLock(lock, blocking=False)
    try:
        with _explained(path):
            held.acquire()
            _sign(lock)
    except Timeout:
        raise ConfigError(f"--out {path} is in use by {_owner(lock)}; end that, or choose another --out") from None
    try:
        yield
    finally:
        with suppress(OSError):  # removed meanwhile
            lock.unlink()  # while it is held: whoever opened it before sees that it is gone, and is refused
        held.release()


def _numbered(folder: Path) -> Iterator[Path]:
    yield folder
    for number in count(2):
        yield folder.with_name(f"{folder.name}-{number}")


def _is_made(folder: Path) -> bool:
    """To make a folder is to claim it: the system lets one succeed."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def _sign(lock: Path) -> None:
    """Write into the lock who holds it; one that has meanwhile become a link is not followed."""
    descriptor = os.open(lock, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(_myself(), file)


def _myself() -> dict[str, object]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}


def _owner(lock: Path) -> str:
    try:
        written = json.loads(file_text(lock))
        return f"process {written['pid']} on {written['host']} since {written['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # not yet written
        return "a process that has just begun"


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except Timeout:  # an OSError too, of filelock
        raise
    except OSError as error:
        raise ConfigError(
            f"--out {path} cannot be written ({error.strerror}: {error.filename}); choose another --out"
        ) from error


@contextmanager
def _explained_within(folder: Path) -> Iterator[None]:
    """What the system says of a file in the folder, in one line."""
    try:
        yield
    except OSError as error:
        if not (isinstance(error.filename, str | os.PathLike) and is_within(Path(error.filename), folder)):
            raise
        raise RunError(
            f"{error.filename} cannot be used any more ({error.strerror}); what else is in {folder} is as it was: mend "
            f"it, then run the same command again, a training run with --resume"
        ) from error
