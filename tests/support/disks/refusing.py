"""A file system that refuses, or a power that fails, at the nth thing that is asked of a folder."""

import builtins
import errno
import io
import os
import signal
from contextlib import contextmanager
from pathlib import Path


class Disk:
    """Counts what is done to the folder `root`: `done` has (what, path). At the `at`th, from 1, `strike` is called."""

    def __init__(self, root, at=None, strike=None):
        self.root, self.at, self.strike, self.done = str(root), at, strike, []

    def does(self, what, path, data=None, write=None):
        if not str(path).startswith(self.root):
            return
        self.done.append((what, Path(path).name))
        if len(self.done) == self.at:
            if data is not None:
                write(data[: len(data) // 2])  # what is torn is half there
            self.strike(what, path)


def refusing(number):
    """A strike that is an error of the system. What is said of an open file has no name."""

    def strike(what, path):
        raise OSError(number, os.strerror(number), *([] if what in ("write", "fsync") else [str(path)]))

    return strike


def killing(what, path):
    os.kill(os.getpid(), signal.SIGKILL)


class _File:
    """A file opened for writing, of which each write is counted."""

    def __init__(self, file, disk, path):
        self._file, self._disk, self._path = file, disk, path

    def write(self, data):
        self._disk.does("write", self._path, data, self._half)
        return self._file.write(data)

    def _half(self, data):
        self._file.write(data)
        self._file.flush()

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        self._file.close()

    def __getattr__(self, name):
        return getattr(self._file, name)


REAL = {name: getattr(os, name) for name in ("open", "write", "fsync", "replace", "mkdir", "unlink", "rmdir")}
REAL_OPEN = builtins.open


@contextmanager
def watched(disk):
    """Within the block every change of the disk's folder by this process, in Python, goes past it."""
    patched = {name: _on_path(disk, name) for name in ("replace", "mkdir", "unlink", "rmdir")}
    for name, function in {**patched, **_on_descriptors(disk)}.items():
        setattr(os, name, function)
    builtins.open = io.open = _opening(disk)
    try:
        yield disk
    finally:
        for name, function in REAL.items():
            setattr(os, name, function)
        builtins.open = io.open = REAL_OPEN


def _path_of(descriptor):
    return os.readlink(f"/proc/self/fd/{descriptor}")


def _on_descriptors(disk):
    def os_open(path, flags, *args, **kwargs):
        if flags & (os.O_WRONLY | os.O_RDWR):
            disk.does("open", path)
        return REAL["open"](path, flags, *args, **kwargs)

    def os_write(descriptor, data):
        disk.does("write", _path_of(descriptor), data, lambda half: REAL["write"](descriptor, half))
        return REAL["write"](descriptor, data)

    def os_fsync(descriptor):
        disk.does("fsync", _path_of(descriptor))
        return REAL["fsync"](descriptor)

    return {"open": os_open, "write": os_write, "fsync": os_fsync}


def _on_path(disk, name):
    def call(path, *args, **kwargs):
        folder = "" if kwargs.get("dir_fd") is None else _path_of(kwargs["dir_fd"])
        if not (name == "mkdir" and os.path.isdir(path)):
            disk.does(name, os.path.join(folder, path))
        return REAL[name](path, *args, **kwargs)

    return call


def _opening(disk):
    def call(file, mode="r", *args, **kwargs):
        if isinstance(file, int) or not set(mode) & set("wax+"):
            return REAL_OPEN(file, mode, *args, **kwargs)
        disk.does("open", file)
        return _File(REAL_OPEN(file, mode, *args, **kwargs), disk, file)

    return call


ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES)
