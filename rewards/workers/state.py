"""What the calls of a reward in one process share: set back after each call, or compared with what was loaded.

One completion must not change how the next is judged. Settings are set back. Code cannot be: a call that leaves it
changed counts for nothing, and its process is replaced. This finds what a reward, or text that it runs, leaves behind;
it is no wall against code that knows of it and lies, which is why no two rewards share a process.
"""

import _thread
import decimal
import fractions  # noqa: F401  (loaded to have something to compare with, as json and pickle are)
import inspect
import json  # noqa: F401
import locale
import os
import pickle  # noqa: F401
import random
import resource
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import is_, methodcaller
from types import FunctionType
from typing import Any
from zlib import crc32

from doubleback.rewards.contract.functions import ScoreFunction

MAX_FILES_LEFT = 64
"""Open files, sockets and pipes that calls may leave, beyond those of loading and of the first call."""
THREAD_SECONDS = 0.01
"""How long a thread that has been started may take until it runs."""
_WATCHED = {
    *("__main__", "builtins", "decimal", "fractions", "functools", "json", "json.decoder", "json.encoder", "math"),
    *("operator", "os", "pickle", "random", "re", "struct", "sympy", "sympy.core.add", "sympy.core.basic"),
    *("sympy.core.expr", "sympy.core.mul", "sympy.core.numbers", "sympy.core.power", "sympy.core.relational"),
    *("sympy.core.sympify", "sympy.parsing.sympy_parser", "sympy.simplify.simplify"),
}
"""Modules whose functions, classes and methods must stay what they were; so must those of `_PACKAGES`."""
_PACKAGES = ("doubleback", "math_verify")
_SIGNALS = (signal.SIGALRM, signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM)
_LIMITS = (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_DATA, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)


@dataclass(frozen=True, slots=True)
class _Setting:
    """Something of the process that a call may set."""

    read: Callable[[], Any]
    write: Callable[[Any], object]


def _write_environment(values: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(values)


def _write_limits(values: Sequence[tuple[int, int]]) -> None:
    for limit, bounds in zip(_LIMITS, values, strict=True):
        resource.setrlimit(limit, bounds)


def _write_handlers(values: Sequence[Any]) -> None:
    for number, handler in zip(_SIGNALS, values, strict=True):
        signal.signal(number, handler)


def _write_filters(values: Sequence[Any]) -> None:
    warnings.filters[:] = values  # type: ignore[index]


def _write_trace(functions: tuple[Any, Any]) -> None:
    sys.settrace(functions[0])
    sys.setprofile(functions[1])


def _read_umask() -> int:
    mask = os.umask(0o77)
    os.umask(mask)
    return mask


_SETTINGS: Mapping[str, _Setting] = {
    "trace": _Setting(lambda: (sys.gettrace(), sys.getprofile()), _write_trace),
    "working directory": _Setting(os.getcwd, os.chdir),
    "environment": _Setting(lambda: dict(os.environ), _write_environment),
    "recursion limit": _Setting(sys.getrecursionlimit, sys.setrecursionlimit),
    # Contexts are not compared: each call gets a copy.
    "decimal context": _Setting(lambda: decimal.getcontext().copy(), lambda value: decimal.setcontext(value.copy())),
    "warnings filters": _Setting(lambda: list(warnings.filters), _write_filters),
    "locale": _Setting(lambda: locale.setlocale(locale.LC_ALL), lambda value: locale.setlocale(locale.LC_ALL, value)),
    "alarm": _Setting(lambda: signal.getitimer(signal.ITIMER_REAL)[0], lambda value: signal.alarm(0)),
    "signal handlers": _Setting(lambda: [signal.getsignal(number) for number in _SIGNALS], _write_handlers),
    "resource limits": _Setting(lambda: [resource.getrlimit(limit) for limit in _LIMITS], _write_limits),
    "umask": _Setting(_read_umask, os.umask),
}


class _Code:
    """The functions, classes and methods of namespaces, and whether one of them has become another.

    All are compared in one go, by identity. Where that fails the namespaces are looked at one by one: names that have
    come, and values that are no code, may change.
    """

    def __init__(self, namespaces: Mapping[str, Mapping[str, Any]]) -> None:
        self._namespaces = namespaces
        self._recoded: str | None = None
        self._remember()

    def _remember(self) -> None:
        self._known = {place: dict(names) for place, names in self._namespaces.items()}
        self._values = list(_values(self._known.values()))
        self._functions = {
            f"{place}.{name}": value
            for place, names in self._known.items()
            for name, value in names.items()
            if isinstance(value, FunctionType)
        }

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Python tells where a function gets other code in place (`sys.addaudithook`), so that none has to be read."""
        if event == "object.__setattr__" and arguments[1] == "__code__":
            known = (name for name, function in self._functions.items() if function is arguments[0])
            self._recoded = next(known, self._recoded)

    def changed(self) -> str | None:
        """The first name that is other code than it was."""
        if self._recoded is not None:
            return self._recoded
        if all(map(is_, _values(self._namespaces.values()), self._values)):
            return None
        for place, names in self._known.items():
            now = self._namespaces[place]
            for name, value in names.items():
                if _is_code(value) and now.get(name) is not value:
                    return f"{place}.{name}"
        self._remember()
        return None


def _values(namespaces: Iterable[Mapping[str, Any]]) -> Iterator[Any]:
    return chain.from_iterable(map(methodcaller("values"), namespaces))


def _is_code(value: object) -> bool:
    return callable(value) or isinstance(value, property | classmethod)


class SharedState:
    """The state of this process as loading left it."""

    def __init__(self, function: Any) -> None:
        self._settings = [(name, setting, setting.read()) for name, setting in _SETTINGS.items()]
        self._modules = dict(sys.modules)
        watched = {place: names for name, module in self._modules.items() for place, names in _watched(name, module)}
        self._code = _Code({**watched, **_parts_of(function)})
        sys.addaudithook(self._code.hear)
        self._running: tuple[Any, ...] | None = None
        self._num_files = self._num_system_threads = 0

    def seed(self, completions: Sequence[str]) -> None:
        """Begin a call: what it draws from `random` and NumPy depends on its completions alone."""
        number = crc32("\0".join(completions).encode("utf-8", "replace"))
        random.seed(number)
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(number)

    def fault(self) -> str | None:
        """End a call: set back what can be, and say what cannot. None where all is as it was."""
        if not all(map(is_, map(sys.modules.get, self._modules), self._modules.values())):
            name = next(name for name, module in self._modules.items() if sys.modules.get(name) is not module)
            return f"changed sys.modules[{name!r}]"
        if changed := self._code.changed():
            return f"changed the code of {changed}"
        for name, setting, value in self._settings:
            try:
                if setting.read() != value:
                    setting.write(value)
            except (OSError, ValueError, TypeError, RecursionError) as error:
                return f"changed the {name}, which cannot be set back: {error}"
        return None

    def is_burdened(self, num_tasks: int) -> bool:
        """Whether calls have left something running, or many open files, beyond what the first one has."""
        try:
            num_system_threads, num_files = (len(os.listdir(f"/proc/self/{name}")) for name in ("task", "fd"))
        except OSError:  # not a descriptor is left to look with
            return True
        if num_system_threads != self._num_system_threads:
            # A library's own, or Python's: one that has just been started is not counted before it has run.
            self._num_system_threads = num_system_threads
            time.sleep(THREAD_SECONDS)
        # `threading` does not know what `_thread` has started.
        threads = (_thread._count(), threading.active_count())
        running = (num_tasks, threads, tuple(sys.meta_path), tuple(sys.path_hooks), tuple(sys.path))
        if self._running is None:
            # The first call is part of loading: it may import what it needs, and start what it keeps.
            self._running, self._num_files = running, num_files
        return running != self._running or num_files > self._num_files + MAX_FILES_LEFT


def _watched(name: str, module: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The namespace of a module and those of the classes that it defines, where it is one that is watched."""
    if name in _WATCHED or name.startswith(_PACKAGES):
        yield from _namespaces(name, module)


def _namespaces(name: str, module: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield name, vars(module)
    for attribute, value in list(vars(module).items()):
        # 512: a heap type, one that can be patched.
        if isinstance(value, type) and value.__module__ == module.__name__ and value.__flags__ & 512:
            yield f"{name}.{value.__name__}", vars(value)
        elif isinstance(value, ScoreFunction):
            yield f"{name}.{attribute}", vars(value)


def _parts_of(function: Any) -> dict[str, Mapping[str, Any]]:
    """What a reward consists of: the object and its class, its module, and the modules of its package or folder."""
    inner = inspect.unwrap(getattr(function, "function", function))
    called = inner if isinstance(inner, FunctionType) else type(inner).__call__
    parts: dict[str, Mapping[str, Any]] = {"the reward's module": getattr(called, "__globals__", {})}
    for value in (function, inner):
        parts[f"the reward {type(value).__name__}"] = getattr(value, "__dict__", {})
        parts[f"the reward's class {type(value).__name__}"] = vars(type(value))
    home = sys.modules.get(getattr(called, "__module__", None) or "")
    for name, module in list(sys.modules.items()) if home is not None else ():
        if _is_beside(module, home):
            parts |= _namespaces(name, module)
    return parts


def _is_beside(module: Any, home: Any) -> bool:
    """Whether a module is of the package of another, or lies in its folder where that is not installed."""
    file, place = getattr(module, "__file__", None), getattr(home, "__file__", None)
    if not file or not place:
        return False
    if module.__name__.partition(".")[0] == home.__name__.partition(".")[0]:
        return True
    folder = os.path.dirname(place)
    return "site-packages" not in folder and os.path.dirname(file).startswith(folder)
