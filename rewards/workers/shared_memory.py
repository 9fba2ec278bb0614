"""Shared memory by name, which outlives who made it: what a reward leaves in /dev/shm is removed.

A worker writes down the names that it, or a process that it forks, makes there, in a page that it shares with its
keeper: so that even one that was killed leaves nothing. Python's events tell (`sys.addaudithook`): names that C code
makes are not seen.
"""

import mmap
import os
import struct
import sys
from contextlib import suppress

FOLDER = "/dev/shm/"
SIZE = 1 << 16
_HEAD = struct.Struct(">I")
"""How many bytes of names follow, each name behind a line feed."""


def new_ledger() -> int:
    """The descriptor of an empty ledger, which can be inherited."""
    descriptor = os.memfd_create("doubleback shared memory", 0)
    os.ftruncate(descriptor, SIZE)
    return descriptor


class Ledger:
    """The names in a ledger of `new_ledger`, whose descriptor is closed."""

    def __init__(self, descriptor: int) -> None:
        self._page = mmap.mmap(descriptor, SIZE)
        self._kept = 0
        os.close(descriptor)

    def watch(self) -> None:
        """Write down from now on what this process makes in /dev/shm."""
        sys.addaudithook(self._hear)

    def keep(self) -> None:
        """What is named so far stays until `close`."""
        (self._kept,) = _HEAD.unpack_from(self._page)

    def remove(self) -> None:
        """Remove what has been named since `keep` and still exists."""
        (size,) = _HEAD.unpack_from(self._page)
        if size > self._kept:
            names = self._page[_HEAD.size + self._kept : min(_HEAD.size + size, SIZE)].split(b"\n")
            self._page[: _HEAD.size] = _HEAD.pack(self._kept)
            for name in filter(_is_name, names):
                with suppress(OSError):
                    os.unlink(os.fsencode(FOLDER) + name)

    def close(self) -> None:
        """Remove all that is named, and forget the page."""
        self._kept = 0
        self.remove()
        self._page.close()

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str) and path.startswith(FOLDER) and isinstance(flags, int) and flags & os.O_CREAT:
                self._note(path, is_new=not os.path.lexists(path))
        elif event == "os.truncate" and isinstance(arguments[0], int):
            # How multiprocessing.shared_memory gives what it has made its size.
            with suppress(OSError):
                self._note(os.readlink(f"/proc/self/fd/{arguments[0]}"), is_new=True)

    def _note(self, path: str, is_new: bool) -> None:
        name = os.fsencode(path.removeprefix(FOLDER))
        (size,) = _HEAD.unpack_from(self._page)
        start = _HEAD.size + size
        if is_new and path.startswith(FOLDER) and _is_name(name) and start + len(name) + 1 <= SIZE:
            self._page[start : start + len(name) + 1] = b"\n" + name
            self._page[: _HEAD.size] = _HEAD.pack(size + len(name) + 1)


def _is_name(name: bytes) -> bool:
    """Whether this is a name in the folder itself, as shm_open(3) makes them."""
    return bool(name) and name not in (b".", b"..") and not {b"/", b"\n", b"\0"} & {bytes([byte]) for byte in name}
