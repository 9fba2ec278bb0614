"""A process and all that descends from it: who they are, what they take together, and their end."""

import os
import signal
from contextlib import suppress
from pathlib import Path

KIB_PER_MIB = 1024
SLACK_MIB = 64
"""What a tree may take beyond its limit: a process that reaches that by itself is told so first, by MemoryError."""


def children(pid: int) -> set[int]:
    """Living children of a process, zombies left out."""
    return {child for child, parent in _parents().items() if parent == pid}


def _parents() -> dict[int, int]:
    """The parent of every living process: one look at all there are, which costs as much as one at a single one."""
    living = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may hold anything.
            state, parent = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:2]
        except OSError:
            continue  # gone meanwhile
        if state != "Z":
            living[int(path.parent.name)] = int(parent)
    return living


def own_children() -> set[int]:
    """Living children of this process: one system call where it never had any, or all are reaped."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return set()
    return children(os.getpid())


def kill_tree(pid: int) -> None:
    """End a process with all its descendants."""
    # Stop first, then kill: a stopped process cannot start another one between the look and the kill.
    stopped: set[int] = set()
    while found := {pid, *_descendants(pid)} - stopped:
        for each in found:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGSTOP)
        stopped |= found
    for each in stopped:
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def allocated_kib(pid: int) -> int:
    """What a process has allocated for itself, touched or not: Linux's VmData. 0 where it has ended."""
    return _status(pid).get("VmData", 0)


def excess(pid: int, loaded_kib: int, memory_mib: int, processes: int) -> str | None:
    """What of its limits the tree below `pid` exceeds, in words; None where it keeps them.

    `loaded_kib` is what loading took: each process may have that, beside what all together may. Shared memory counts
    for every process that has it mapped.
    """
    below = list(_descendants(pid)) if _has_children(pid) else []
    if len(below) + 1 > processes:
        return f"ran {len(below) + 1} processes at once, more than reward.processes={processes}"
    used = 0
    for status in map(_status, (pid, *below)):
        own = status.get("RssAnon", 0) + status.get("VmSwap", 0)
        used += max(0, own - loaded_kib) + status.get("RssShmem", 0)
    if used > (memory_mib + SLACK_MIB) * KIB_PER_MIB:
        mebibytes = f"{used // KIB_PER_MIB} MiB with its processes and shared memory"
        return f"took {mebibytes}, more than reward.memory_mib={memory_mib}"
    return None


def _has_children(pid: int) -> bool:
    """Whether a process may have children: where the kernel tells it, for little; else they have to be looked for."""
    try:
        return any(path.read_bytes() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    except OSError:
        return True


def _descendants(pid: int) -> set[int]:
    parents = _parents()
    found, newest = set[int](), {pid}
    while newest := {child for child, parent in parents.items() if parent in newest} - found:
        found |= newest
    return found


def _status(pid: int) -> dict[str, int]:
    """The sizes in /proc/PID/status, in KiB; none of a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    fields = (line.split() for line in lines if line.endswith(" kB"))
    return {name.rstrip(":"): int(size) for name, size, _ in fields}
