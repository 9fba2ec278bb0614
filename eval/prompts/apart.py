"""Work on somebody's chat template in a process that can be killed: a template is a program, which may never end."""

import json
import os
import resource
import signal
import warnings
from collections.abc import Callable
from contextlib import suppress
from select import select
from typing import Any

from doubleback.rewards.types import ConfigError

PROCESSOR_SECONDS = 3
"""For the work itself, beside what each of its parts may take: templates of published models need milliseconds."""
PARTS_A_SECOND = 200
SILENT_SECONDS = 120.0
"""The limit on waiting for a process that does not compute either."""
MEMORY_BYTES = 1 << 30
"""What it may take beside what there is."""
MOST_BYTES = 1 << 29
"""Of its answer."""


def apart(what: str, work: Callable[[], Any], num_parts: int = 1) -> Any:
    """The value of `work()`, which JSON can hold, made in a process of its own: a copy of this one (fork).

    ConfigError is passed on; it is also raised, with `what` for a subject, where the work takes more processor time or
    memory than `num_parts` parts may, or dies.
    """
    limit = PROCESSOR_SECONDS + num_parts // PARTS_A_SECOND
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Python warns that other threads' locks stay locked in the copy: it takes none of theirs, and has a deadline.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os.close(reading)
        _work(work, writing, limit)
    os.close(writing)
    try:
        answer, way_out = _read(reading), "take another model, or mend its chat template"
    finally:
        os.close(reading)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if answer is None:
        raise ConfigError(
            f"{what} says more than {MOST_BYTES >> 20} MiB, or nothing for {SILENT_SECONDS:g} s; {way_out}"
        )
    if not answer:
        ended = {-signal.SIGXCPU: f"has no end: it took {limit} s of a processor", -signal.SIGKILL: "was killed"}
        raise ConfigError(f"{what} {ended.get(status, f'ended its process ({status})')}; {way_out}")
    found = json.loads(answer)
    if "error" in found:
        raise ConfigError(found["error"])
    if "crash" in found:
        raise ConfigError(f"{what} fails: {found['crash']}; {way_out}")
    return found["value"]


def _work(work: Callable[[], Any], writing: int, limit: int) -> None:
    """In the copy: the work within its limits, its answer, and the end, without what a program does at its end."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGXCPU):
            signal.signal(number, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        size = _address_space() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        try:
            answer = {"value": work()}
        except ConfigError as error:
            answer = {"error": str(error)}
        except MemoryError:
            answer = {"crash": f"it takes more than {MEMORY_BYTES >> 20} MiB of memory"}
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told where it can be handled
            answer = {"crash": f"{type(error).__name__}: {error}"}
        with open(writing, "wb", closefd=False) as pipe:
            pipe.write(json.dumps(answer).encode())
    finally:
        os._exit(0)


def _address_space() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _read(reading: int) -> bytes | None:
    """All that comes; None where it is too much, or too long in coming."""
    parts: list[bytes] = []
    size = 0
    while select([reading], [], [], SILENT_SECONDS)[0]:
        part = os.read(reading, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            return None
    return None
