"""Reward functions in processes that can be killed. Works from any thread, from asyncio, in forks and under pytest.

    host  <->  keeper  <->  workers

The host sends jobs and gets futures. The keeper (`rewards.workers.keeper`) gives each worker one job at a time, with a
limit on wall-clock time, and kills and replaces a worker that exceeds it, crashes, or leaves behind what it should not.
Each function has workers of its own: one that was tampered with can judge nothing that another judges. Nothing
in the host is touched: no signal handler, no SIGALRM, no child of its own but the keeper, which ends when the host
does.
"""

import itertools
import json
import os
import pickle
import secrets
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from types import TracebackType

from doubleback.rewards.contract.call import Results, Samples, failed
from doubleback.rewards.contract.functions import Scope
from doubleback.rewards.types import ConfigError, RunError, Verdict, first_line
from doubleback.rewards.workers.environment import visible_environment, without_here
from doubleback.rewards.workers.messages import (
    HEAD,
    JOB,
    TOKEN_BYTES,
    FunctionSpec,
    Job,
    Kind,
    Limits,
    Setup,
    frame,
    receive,
    results_from_json,
)

SYMBOLIC = FunctionSpec("symbolic", "doubleback.rewards.answers.grade:SymbolicJudge", {}, "reward", is_warm=True)
"""The last stage of mathematical equality."""
CLOSE_SECONDS = 5.0
"""For the keeper to end by itself."""
DEFAULT = Limits()


@dataclass(frozen=True, slots=True)
class Facts:
    """What a worker found out about a function by loading it."""

    scope: Scope
    columns: tuple[str, ...]
    """Dataset columns that it cannot do without."""


class Queue:
    """Completions that wait for a score, and how fast they get one: since there was nothing to do."""

    def __init__(self) -> None:
        self._num_waiting = self._num_answered = 0
        self._began = self.heard = time.monotonic()
        """`heard`: when the keeper last sent anything."""

    def grew(self, size: int) -> None:
        """Completions were submitted."""
        if self._num_waiting == 0:
            self._num_answered, self._began = 0, time.monotonic()
        self._num_waiting += size

    def shrank(self, size: int) -> None:
        """An answer has come, for this many completions."""
        self.heard = time.monotonic()
        self._num_waiting -= size
        self._num_answered += size

    def in_words(self) -> str:
        """How long the queue is and how fast it was worked off."""
        answered = f"{self._num_answered} of {self._num_answered + self._num_waiting} completions are scored"
        rate = self._num_answered / max(self.heard - self._began, 1e-9)
        return f"{answered}, {rate:.2g} a second" if self._num_answered else answered


@dataclass(frozen=True, slots=True)
class Asked:
    """A job that has no answer yet."""

    size: int
    """How many completions it is for."""
    token: bytes
    """What its answer must bear."""
    future: Future[Results]


class WorkerPool:
    """Long-lived workers, `num_workers` for each function.

    Starting returns at once; `ready` waits until the first worker of each function has loaded.
    """

    def __init__(
        self,
        functions: Sequence[FunctionSpec],
        limits: Limits = DEFAULT,
        *,
        num_workers: int = 1,
        environment: Collection[str] = (),
    ) -> None:
        self.limits = limits
        self._places = {spec.name: place for place, spec in enumerate(functions)}
        self._greetings: list[Future[Facts]] = [Future() for _ in functions]
        self._numbers = itertools.count(1)
        self._token = secrets.token_bytes(TOKEN_BYTES)
        self._queue = Queue()
        self._asked: dict[int, Asked] = {}
        self._lock = threading.Lock()
        self._channel, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "doubleback.rewards.workers.keeper", str(theirs.fileno())]
        theirs.set_inheritable(True)
        # A session of its own: Ctrl-C reaches the host alone, and the keeper goes when the host has gone.
        visible, no_input = visible_environment(os.environ, environment), [(os.POSIX_SPAWN_OPEN, 0, os.devnull, 0, 0)]
        self._pid = os.posix_spawn(sys.executable, command, visible, file_actions=no_input, setsid=True)
        theirs.close()
        setup = Setup(tuple(functions), tuple(without_here(sys.path)), num_workers, limits)
        self._channel.sendall(frame(self._token + pickle.dumps(setup)))
        threading.Thread(target=self._read, name="reward answers", daemon=True).start()

    def ready(self) -> dict[str, Facts]:
        """Wait until the functions are loaded. ConfigError, one line each, for those that cannot be."""
        seconds = self.limits.load_seconds + self.limits.stall_seconds
        deadline = time.monotonic() + seconds
        facts: dict[str, Facts] = {}
        lines: list[str] = []
        for name, place in self._places.items():
            try:
                facts[name] = self._greetings[place].result(max(0.0, deadline - time.monotonic()))
            except ConfigError as error:
                lines += str(error).splitlines()
            except TimeoutError:
                raise RunError(
                    f"the reward workers did not start within {seconds:g} s; raise reward.load_seconds"
                ) from None
        if lines:
            raise ConfigError("\n".join(lines))
        return facts

    def submit(self, function: str, samples: Samples, *, is_messages: bool = False, step: int = 0) -> Future[Results]:
        """One score per completion, some time. The limit is `timeout_seconds` times the number of completions.

        The future never fails for what a reward does: that is a verdict. RunError where the keeper is gone.
        """
        size = len(samples.completions)
        future: Future[Results] = Future()
        try:
            content = pickle.dumps(Job(function, samples, is_messages, step))
        except (RecursionError, TypeError, AttributeError, pickle.PicklingError) as error:
            future.set_result(failed(size, f"a column cannot be sent to a worker: {first_line(error)}"))
            return future
        number, token = next(self._numbers), secrets.token_bytes(TOKEN_BYTES)
        self._asked[number] = Asked(size, token, future)
        self._queue.grew(size)
        head = JOB.pack(number, self.limits.timeout_seconds * size, self._places[function], size, token)
        try:
            with self._lock:
                self._channel.sendall(frame(head + content))
        except OSError:
            self._fail()
        return future

    def result(self, future: Future[Results]) -> Results:
        """Wait for the scores of a job, however long, while any job is answered.

        RunError where none has been for longer than the limits of a job, of its first call and of loading allow, and
        `stall_seconds` beyond them: then the keeper itself must be broken.
        """
        limits, begun = self.limits, time.monotonic()
        longest = max((asked.size for asked in list(self._asked.values())), default=1)
        patience = limits.timeout_seconds * longest
        patience += limits.first_call_seconds + limits.load_seconds + limits.stall_seconds
        while (left := max(begun, self._queue.heard) + patience - time.monotonic()) > 0 or future.done():
            with suppress(TimeoutError):
                return future.result(max(left, 0.0))
        raise RunError(
            f"no reward worker has answered for {patience:g} s ({self._queue.in_words()}); the keeper of the workers "
            "hangs; raise reward.stall_seconds if it does not"
        )

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
        """Pass on what the keeper sends, to the end. What is no frame of its own ends the pool, and says so."""
        try:
            while (content := receive(self._channel)) is not None:
                self._take(content)
        except (ValueError, struct.error, KeyError, IndexError, TypeError, RecursionError) as error:
            self._fail(f"sent what it never sends ({type(error).__name__}: {error})")
        self._fail("has ended")

    def _take(self, content: bytes) -> None:
        """ValueError or the like where the frame is none that the keeper sends: its token is not that of its job."""
        number, kind, token = HEAD.unpack_from(content)
        content = content[HEAD.size :]
        if kind == Kind.GREETING:
            _require_same(token, self._token)
            self._queue.shrank(0)
            self._greet(self._greetings[number], content)
            return
        asked = self._asked[number]
        _require_same(token, asked.token)
        if kind == Kind.ANSWER:
            results = results_from_json(content, asked.size)
        else:
            fault = json.loads(content)
            results = failed(asked.size, str(fault["detail"]), Verdict(fault["verdict"]))
        del self._asked[number]
        self._queue.shrank(asked.size)
        asked.future.set_result(results)

    @staticmethod
    def _greet(greeting: Future[Facts], content: bytes) -> None:
        if greeting.done():
            return  # a worker that replaces another
        try:
            said = json.loads(content)
            if said["errors"]:
                raise ConfigError("\n".join(said["errors"]))
            greeting.set_result(Facts(Scope(said["scope"]), tuple(map(str, said["columns"]))))
        except ConfigError as error:
            greeting.set_exception(error)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            greeting.set_exception(RunError(f"a reward worker said of its function: {error}"))

    def _fail(self, what: str = "has ended") -> None:
        error = RunError(f"the process that keeps the reward workers {what}; nothing can be scored any more")
        for greeting in self._greetings:
            if not greeting.done():
                greeting.set_exception(error)
        for number in list(self._asked):
            if (asked := self._asked.pop(number, None)) is not None:
                asked.future.set_exception(error)


def _require_same(token: bytes, expected: bytes) -> None:
    if not secrets.compare_digest(token, expected):
        raise ValueError("another token than that of the job")


def symbolic_pool() -> WorkerPool:
    """The pool of this process for `math` where no recipe sized one: one worker, started when first needed."""
    return _symbolic_pool(os.getpid())


@cache
def _symbolic_pool(pid: int) -> WorkerPool:
    # By process number: a fork must not share the channel of its parent.
    return WorkerPool((SYMBOLIC,))
