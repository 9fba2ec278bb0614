"""Reward functions in processes that can be killed. Works from any thread, from asyncio, in forks and under pytest.

    host  <->  keeper  <->  workers

The host sends jobs and gets futures. The keeper (`rewards.workers.keeper`) gives each worker one job at a time, with a
limit on wall-clock time, and kills and replaces a worker that exceeds it, crashes, or leaves processes behind. Nothing
in the host is touched: no signal handler, no SIGALRM, no child of its own but the keeper, which ends when the host
does.
"""

import itertools
import json
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any

from doubleback.rewards.contract.call import Results, Samples, failed
from doubleback.rewards.contract.functions import Scope
from doubleback.rewards.types import ConfigError, RunError, Verdict
from doubleback.rewards.workers.environment import visible_environment
from doubleback.rewards.workers.messages import JOB, NUMBER, FunctionSpec, Job, Setup, frame, receive, score_from_json

SYMBOLIC = FunctionSpec("symbolic", "doubleback.rewards.answers.grade:SymbolicJudge", {}, "reward")
"""The last stage of mathematical equality."""
CLOSE_SECONDS = 5.0
"""For the keeper to end by itself."""
GRACE_SECONDS = 30.0
"""Beyond the limits of job and loading: after that the keeper itself must be broken."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a worker found out about a function by loading it."""

    scope: Scope
    columns: tuple[str, ...]
    """Dataset columns that it cannot do without."""


class WorkerPool:
    """Long-lived workers that have all loaded the same functions.

    Starting returns at once; `ready` waits until the first worker has loaded. `timeout_seconds` is the limit per
    completion, from when a worker takes the job; `memory_mib` is what a worker may allocate beyond what loading took.
    """

    def __init__(
        self,
        functions: Sequence[FunctionSpec],
        *,
        num_workers: int = 1,
        timeout_seconds: float = 2.0,
        memory_mib: int = 1024,
        load_seconds: float = 120.0,
        environment: Collection[str] = (),
    ) -> None:
        self.timeout_seconds, self._load_seconds = timeout_seconds, load_seconds
        self._numbers = itertools.count(1)
        self._sizes: dict[int, int] = {}
        self._futures: dict[int, Future[Results]] = {}
        self._greeting: Future[dict[str, Facts]] = Future()
        self._lock = threading.Lock()
        self._channel, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "doubleback.rewards.workers.keeper", str(theirs.fileno())]
        theirs.set_inheritable(True)
        # A session of its own: Ctrl-C reaches the host alone, and the keeper goes when the host has gone.
        self._pid = os.posix_spawn(sys.executable, command, visible_environment(os.environ, environment), setsid=True)
        theirs.close()
        setup = Setup(tuple(functions), tuple(sys.path), num_workers, memory_mib, load_seconds)
        self._channel.sendall(frame(pickle.dumps(setup)))
        threading.Thread(target=self._read, name="reward answers", daemon=True).start()

    def ready(self) -> dict[str, Facts]:
        """Wait until the functions are loaded. ConfigError, one line each, for those that cannot be."""
        try:
            return self._greeting.result(self._load_seconds + GRACE_SECONDS)
        except TimeoutError:
            raise RunError(
                f"the reward workers did not start within {self._load_seconds + GRACE_SECONDS:g} s"
            ) from None

    def submit(self, function: str, samples: Samples, *, is_messages: bool = False, step: int = 0) -> Future[Results]:
        """One score per completion, some time. The limit is `timeout_seconds` times the number of completions.

        The future never fails for what a reward does: that is a verdict. RunError where the keeper is gone.
        """
        size = len(samples.completions)
        content = pickle.dumps(Job(function, samples, is_messages, step))
        future: Future[Results] = Future()
        number = next(self._numbers)
        self._sizes[number], self._futures[number] = size, future
        try:
            with self._lock:
                self._channel.sendall(frame(JOB.pack(number, self.timeout_seconds * size) + content))
        except OSError:
            self._fail()
        return future

    def result(self, future: Future[Results]) -> Results:
        """Wait for the scores of a job; jobs are answered about in the order in which they were submitted."""
        deadline = self.timeout_seconds * max(self._sizes.values(), default=1) + self._load_seconds + GRACE_SECONDS
        try:
            return future.result(deadline)
        except TimeoutError:
            raise RunError(
                f"no reward worker has answered for {deadline:g} s; the keeper of the workers hangs"
            ) from None

    def close(self) -> None:
        """End the keeper and with it every worker, and wait for that."""
        if self._channel.fileno() < 0:
            return
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        self._channel.close()
        with suppress(ChildProcessError):
            deadline = time.monotonic() + CLOSE_SECONDS
            while not os.waitpid(self._pid, os.WNOHANG)[0]:
                if time.monotonic() > deadline:
                    os.kill(self._pid, signal.SIGKILL)  # its workers die with it
                time.sleep(0.002)

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        while (content := receive(self._channel)) is not None:
            (number,) = NUMBER.unpack_from(content)
            answer = json.loads(content[NUMBER.size :])
            if number == 0:
                self._greet(answer)
            else:
                size, future = self._sizes.pop(number), self._futures.pop(number)
                future.set_result(_results(answer, size))
        self._fail()

    def _greet(self, answer: dict[str, Any]) -> None:
        if self._greeting.done():
            return  # a worker that replaces another
        if answer["errors"]:
            self._greeting.set_exception(ConfigError("\n".join(answer["errors"])))
            return
        found = {name: Facts(Scope(it["scope"]), tuple(it["columns"])) for name, it in answer["functions"].items()}
        self._greeting.set_result(found)

    def _fail(self) -> None:
        error = RunError("the process that keeps the reward workers has ended; nothing can be scored any more")
        if not self._greeting.done():
            self._greeting.set_exception(error)
        for number in list(self._futures):
            future = self._futures.pop(number, None)
            if future is not None:
                future.set_exception(error)


def _results(answer: dict[str, Any], size: int) -> Results:
    if "fault" in answer:
        return failed(size, answer["detail"], Verdict(answer["fault"]))
    try:
        scores = [score_from_json(item) for item in answer["scores"]]
    except (KeyError, TypeError, ValueError) as error:
        return failed(size, f"the worker sent no valid answer: {error}")
    if len(scores) != size:
        return failed(size, f"{len(scores)} scores for {size} completions")
    return scores


def symbolic_pool() -> WorkerPool:
    """The pool of this process for `math` where no recipe sized one: one worker, started when first needed."""
    return _symbolic_pool(os.getpid())


@cache
def _symbolic_pool(pid: int) -> WorkerPool:
    # By process number: a fork must not share the channel of its parent.
    return WorkerPool((SYMBOLIC,))
