"""Files that people name, opened where they are files: a pipe that nobody fills would be waited for without an end."""

import errno
import os
import stat
from io import BufferedReader, TextIOWrapper
from pathlib import Path


def opened(path: Path) -> BufferedReader:
    """A regular file, open for reading. OSError where there is none, and where it is a pipe, a device or a socket."""
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 (who asked for it closes it)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return file


def file_bytes(path: Path) -> bytes:
    """What is in a regular file. OSError as of `opened`."""
    with opened(path) as file:
        return file.read()


def file_text(path: Path) -> str:
    """The same as text in UTF-8, with UnicodeDecodeError where it is none."""
    with TextIOWrapper(opened(path), encoding="utf-8") as file:
        return file.read()


def _without_waiting(path: str, flags: int) -> int:
    """A descriptor at once: of a pipe too, which plain `open` waits for until somebody writes into it."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
