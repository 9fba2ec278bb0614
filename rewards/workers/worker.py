"""The process in which a reward function runs. Started by `rewards.workers.keeper`, which kills it when it must.

It may hang, crash, leak and print: nothing that it does reaches the host but its answers. Run as
`python -P -m doubleback.rewards.workers.worker FD`.
"""

import asyncio
import json
import os
import pickle
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from doubleback.rewards.contract.call import Results, call, failed, failure
from doubleback.rewards.contract.functions import required_columns, scope_of
from doubleback.rewards.contract.lookup import load_function, prepare
from doubleback.rewards.types import ConfigError
from doubleback.rewards.workers.confinement import (
    close_descriptors,
    leave_others_alone,
    limit_descriptors,
    limit_room,
    prctl,
)
from doubleback.rewards.workers.messages import (
    ANSWER,
    TOKEN_BYTES,
    FunctionSpec,
    Job,
    Setup,
    frame,
    receive,
    scores_to_json,
)
from doubleback.rewards.workers.shared_memory import Ledger
from doubleback.rewards.workers.state import SharedState
from doubleback.rewards.workers.tree import own_children

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
DYING_SECONDS = 0.5
"""How long a child that was killed during a call may take to end."""


def main() -> None:
    """Load the function that the setup names, say so, then answer jobs until the keeper is gone."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # Orphans of what a reward starts come to this process, where the keeper finds them.
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    channel = socket.socket(fileno=int(sys.argv[1]))
    if (content := receive(channel)) is None:
        return  # the keeper went before it had said anything
    setup: Setup = pickle.loads(content)
    ledger = Ledger(setup.ledger)
    close_descriptors(channel.fileno())
    leave_others_alone()
    limit_descriptors()
    ledger.watch()
    sys.path[:] = setup.path
    (spec,) = setup.functions
    function, errors = _load(spec)
    channel.sendall(frame(json.dumps({"errors": errors, **({} if errors else _facts(function))}).encode()))
    if errors:
        return
    ledger.keep()
    limit_room(setup.limits.memory_mib, setup.limits.file_mib)
    pid, kept, loop = os.getpid(), own_children(), asyncio.new_event_loop()
    state = SharedState(function)
    state_fault = state.fault  # as it is now: a call may put another in its place
    while (request := receive(channel)) is not None:
        token, job = request[:TOKEN_BYTES], pickle.loads(request[TOKEN_BYTES:])
        state.seed(job.samples.completions)
        scores, is_spent = _answer(function, job, loop)
        if os.getpid() != pid:
            os._exit(1)  # a child that the reward forked and let return
        ledger.remove()
        left = _left_running(kept)
        fault = f"left {len(left)} process(es) running; they were killed" if left else state_fault()
        if fault:
            scores = failed(len(scores), fault)
        is_spent = is_spent or fault is not None or state.is_burdened(len(asyncio.all_tasks(loop)))
        channel.sendall(frame(ANSWER.pack(token, is_spent) + scores_to_json(scores)))


def _load(spec: FunctionSpec) -> tuple[Any, list[str]]:
    """The function, or the lines that say why there is none."""
    try:
        return _function(spec), []
    except ConfigError as error:
        return None, str(error).splitlines()
    except BaseException as error:  # noqa: BLE001 - a stranger's module may raise anything, SystemExit included
        text = " ".join(str(error).split())[:300]
        what = spec.target if isinstance(spec.target, str) else "the function"
        return None, [f"{spec.key}: loading {what} raised {type(error).__name__}: {text}"]


def _function(spec: FunctionSpec) -> Callable[..., Any]:
    if isinstance(spec.target, bytes):
        return prepare(pickle.loads(spec.target), spec.arguments, spec.key)
    return load_function(spec.target, spec.arguments, spec.key)


def _facts(function: Callable[..., Any]) -> dict[str, Any]:
    return {"scope": scope_of(function), "columns": required_columns(function)}


def _answer(function: Callable[..., Any], job: Job, loop: asyncio.AbstractEventLoop) -> tuple[Results, bool]:
    """The scores of a job, and whether this process should not go on after it."""
    size, start = len(job.samples.completions), time.perf_counter()
    try:
        scores = loop.run_until_complete(call(function, job.samples, is_messages=job.is_messages, step=job.step))
        is_spent = False
    except BaseException as error:  # noqa: BLE001 - a stranger's reward may raise anything, SystemExit included
        is_spent = isinstance(error, MemoryError) or not isinstance(error, Exception)
        if isinstance(error, MemoryError):
            # Room to say so: what filled the memory is still held by the traceback.
            resource.setrlimit(resource.RLIMIT_DATA, (resource.getrlimit(resource.RLIMIT_DATA)[1],) * 2)
        scores = failure(error, size)
    seconds = (time.perf_counter() - start) / max(size, 1)
    return [score and replace(score, seconds=seconds) for score in scores], is_spent


def _left_running(kept: set[int]) -> set[int]:
    """Children that a call has left and that live on: one that it has just killed is given a moment to end."""
    deadline = time.monotonic() + DYING_SECONDS
    while (left := own_children() - kept) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


if __name__ == "__main__":
    main()
