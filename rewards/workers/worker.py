"""The process in which reward functions run. Started by `rewards.workers.keeper`, which kills it when it must.

It may hang, crash, leak and print: nothing that it does reaches the host but its answers. Run as
`python -P -m doubleback.rewards.workers.worker FD`.
"""

import asyncio
import ctypes
import json
import os
import pickle
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from doubleback.rewards.contract.call import Results, call, failed, failure
from doubleback.rewards.contract.functions import required_columns, scope_of
from doubleback.rewards.contract.lookup import load_function, prepare
from doubleback.rewards.types import ConfigError
from doubleback.rewards.workers.messages import FunctionSpec, Job, Setup, frame, receive, scores_to_json

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
MEMORY_RESERVE = 64 << 20
"""Bytes beyond the limit, with which a worker that reached it reports that."""


def prctl(option: int, value: int) -> None:
    """Linux's prctl(2). OSError where it fails."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def children(pid: int) -> set[int]:
    """Living children of a process, zombies left out."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may hold anything.
            state, parent = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:2]
        except OSError:
            continue  # gone meanwhile
        if int(parent) == pid and state != "Z":
            found.add(int(path.parent.name))
    return found


def main() -> None:
    """Load what the setup names, say so, then answer jobs until the keeper is gone."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # Orphans of what a reward starts come to this process, where the keeper finds them.
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    channel = socket.socket(fileno=int(sys.argv[1]))
    setup: Setup = pickle.loads(receive(channel) or b"")
    sys.path[:] = [*dict.fromkeys([*setup.path, os.getcwd()])]
    functions, errors = _load(setup)
    channel.sendall(frame(json.dumps({"errors": errors, "functions": _facts(functions)}).encode()))
    if errors:
        return
    _limit_memory(setup.limits.memory_mib)
    pid, kept, loop = os.getpid(), _own_children(), asyncio.new_event_loop()
    while (request := receive(channel)) is not None:
        job: Job = pickle.loads(request)
        scores, is_spent = _answer(functions[job.function], job, loop)
        if os.getpid() != pid:
            os._exit(1)  # a child that the reward forked and let return
        left = _own_children() - kept
        if left:
            scores = failed(len(scores), f"left {len(left)} process(es) running; they were killed")
        # An answer with `is_spent` asks the keeper for a fresh worker.
        channel.sendall(frame(scores_to_json(scores, is_spent=is_spent or bool(left))))


def _load(setup: Setup) -> tuple[dict[str, Callable[..., Any]], list[str]]:
    functions, errors = {}, []
    for spec in setup.functions:
        try:
            functions[spec.name] = _function(spec)
        except ConfigError as error:
            errors += str(error).splitlines()
        except BaseException as error:  # noqa: BLE001 - a stranger's module may raise anything, SystemExit included
            text = " ".join(str(error).split())[:300]
            what = spec.target if isinstance(spec.target, str) else "the function"
            errors.append(f"{spec.key}: loading {what} raised {type(error).__name__}: {text}")
    return functions, errors


def _function(spec: FunctionSpec) -> Callable[..., Any]:
    if isinstance(spec.target, bytes):
        return prepare(pickle.loads(spec.target), spec.arguments, spec.key)
    return load_function(spec.target, spec.arguments, spec.key)


def _facts(functions: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    return {
        name: {"scope": scope_of(function), "columns": required_columns(function)}
        for name, function in functions.items()
    }


def _answer(function: Callable[..., Any], job: Job, loop: asyncio.AbstractEventLoop) -> tuple[Results, bool]:
    """The scores of a job, and whether this process should not go on after it."""
    size, start = len(job.samples.completions), time.perf_counter()
    try:
        scores = loop.run_until_complete(call(function, job.samples, is_messages=job.is_messages, step=job.step))
        is_spent = False
    except BaseException as error:  # noqa: BLE001 - a stranger's reward may raise anything, SystemExit included
        if is_spent := isinstance(error, MemoryError):
            # Room to say so: what filled the memory is still held by the traceback.
            resource.setrlimit(resource.RLIMIT_DATA, (resource.getrlimit(resource.RLIMIT_DATA)[1],) * 2)
        scores = failure(error, size)
    seconds = (time.perf_counter() - start) / max(size, 1)
    return [score and replace(score, seconds=seconds) for score in scores], is_spent


def _own_children() -> set[int]:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return set()  # the common case, one system call: never had any, or all are reaped
    return children(os.getpid())


def _limit_memory(mebibytes: int) -> None:
    # RLIMIT_DATA counts private writable memory. RLIMIT_AS would count the libraries that were mapped as well.
    (used,) = (
        line
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        if line.startswith("VmData:")
    )
    limit = int(used.split()[1]) * 1024 + (mebibytes << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit + MEMORY_RESERVE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
