"""An object in a process of its own on this machine. See `rl.remote.remote.Remote`.

Tensors travel in shared memory. The process stands back behind this one (NICENESS), and ends when this one does.
"""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from multiprocessing import util
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

import psutil
import torch
from torch import multiprocessing

from doubleback.rl.remote.remote import PASSED_ON, DeadRemoteError, OnPart, as_raised, as_told

NICENESS = 5
"""How far it stands back: with fewer cores than processes, what learns is the longest, and goes first."""
CLOSE_SECONDS = 5.0
"""How long a process may take to end by itself."""
START = 0
"""The number of the first answer, which nobody called for: that the object is there."""


class ProcessRemote:
    """See `rl.remote.remote.Remote`."""

    node = "this machine"

    def __init__(
        self,
        name: str,
        make: Callable[..., Any],
        arguments: Sequence[Any],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Starts the process, in which `make(*arguments)` makes the object: a function of some module.

        It is not waited for. `environment`: variables that are others there.
        """
        self.name = name
        self.started: Future[None] = Future()
        context = multiprocessing.get_context("spawn")
        self._pipe, far_end = context.Pipe()
        self._numbers, self._lock = count(START + 1), Lock()
        self._waiting: dict[int, tuple[Future[Any], OnPart | None]] | None = {START: (self.started, None)}
        """The calls that wait for an answer; None once there is nobody to give one."""
        self._outbox: SimpleQueue[Any] = SimpleQueue()
        threads = torch.get_num_threads()
        self._process = context.Process(
            target=_host, args=(far_end, threads, make, tuple(arguments)), daemon=True, name=name
        )
        before = dict(os.environ)
        os.environ.update(environment or {})
        try:
            self._process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        far_end.close()
        Thread(target=self._listen, daemon=True, name=f"{name} listens").start()
        Thread(target=self._speak, daemon=True, name=f"{name} is told").start()

    @property
    def pid(self) -> int | None:
        """The number of its process."""
        return self._process.pid

    def call(self, method: str, *arguments: Any, on_part: OnPart | None = None) -> "Future[Any]":
        """The object's method, when the calls before it are done, as `rl.remote.remote.Remote` says."""
        return self._send("call", method, arguments, on_part)

    def beside(self, method: str, *arguments: Any) -> "Future[Any]":
        """The object's method at once, as `rl.remote.remote.Remote` says."""
        return self._send("beside", method, arguments, None)

    def processor_seconds(self) -> float:
        """What the process has computed since it began."""
        try:
            times = psutil.Process(self._process.pid).cpu_times()
        except psutil.Error:  # it has ended, which the pipe will tell
            return 0.0
        return float(times.user + times.system)

    def close(self) -> None:
        """End it, in order where it is idle."""
        with self._lock:
            is_idle = self._waiting == {}
        if is_idle:
            self._send("close", "", (), None)
            self._process.join(timeout=CLOSE_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End the process, whatever it does."""
        if self._process.is_alive():
            self._process.kill()

    def _send(self, kind: str, method: str, arguments: Sequence[Any], on_part: OnPart | None) -> "Future[Any]":
        future: Future[Any] = Future()
        number = next(self._numbers)
        message = ForkingPickler.dumps((number, kind, method, arguments, on_part is not None))
        with self._lock:
            is_over = self._waiting is None
            if self._waiting is not None:
                self._waiting[number] = future, on_part
                self._outbox.put(message)
        if is_over:
            future.set_exception(self._ended())
        return future

    def _speak(self) -> None:
        """Send what there is to be said: a process that was stopped reads nothing, and must keep nobody waiting."""
        with suppress(OSError):  # it has ended, which who listens sees too
            while (message := self._outbox.get()) is not None:
                self._pipe.send_bytes(message)

    def _listen(self) -> None:
        """Hand over what comes, until the process has ended."""
        with suppress(EOFError, OSError):
            while True:
                self._hand_over(*self._pipe.recv())
        with self._lock:
            waiting, self._waiting = self._waiting or {}, None
        self._outbox.put(None)
        for future, _ in waiting.values():
            future.set_exception(self._ended())

    def _hand_over(self, number: int, kind: str, value: Any) -> None:
        assert self._waiting is not None
        future, on_part = self._waiting[number]
        if kind == "part":
            assert on_part is not None
            on_part(value)
            return
        with self._lock:
            del self._waiting[number]
        if kind == "error":
            future.set_exception(as_raised(value))
        else:
            future.set_result(value)

    def _ended(self) -> DeadRemoteError:
        """What there is to say of a process that is gone."""
        self._process.join(timeout=CLOSE_SECONDS)
        return DeadRemoteError(f"its process {self._process.pid} has ended ({_cause(self._process.exitcode)})")


def _cause(code: int | None) -> str:
    """The exit code in words: a negative one is a signal, and SIGKILL is mostly a lack of memory."""
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}: perhaps for want of memory, see dmesg" if name == "SIGKILL" else name


def device_apart(index: int, count: int, visible: str | None) -> dict[str, str]:
    """Environment of process `index` where there are `count` CUDA devices, of `visible` in CUDA's words.

    With several the trainer has the first, the processes the others in turn.
    """
    if count < 2:
        return {}
    device = 1 + index % (count - 1)
    return {"CUDA_VISIBLE_DEVICES": visible.split(",")[device].strip() if visible else str(device)}


class _Far:
    """The other side of the pipe: the object, and the calls of it."""

    def __init__(self, pipe: Connection, hosted: Any) -> None:
        self._pipe, self._hosted = pipe, hosted
        self._lock = Lock()
        self._calls: SimpleQueue[tuple[int, str, Sequence[Any], bool] | None] = SimpleQueue()

    def serve(self) -> None:
        """Answer until this is asked to close, or nobody is left to ask."""
        Thread(target=self._read, daemon=True).start()
        while (call := self._calls.get()) is not None:
            self._answer(*call)

    def _read(self) -> None:
        while True:
            try:
                number, kind, method, arguments, has_parts = self._pipe.recv()
            except (EOFError, OSError):
                _end()  # the parent is gone: nobody wants what is under way
            if kind == "close":
                self._calls.put(None)
                return
            if kind == "beside":
                self._answer(number, method, arguments, has_parts)
            else:
                self._calls.put((number, method, arguments, has_parts))

    def _answer(self, number: int, method: str, arguments: Sequence[Any], has_parts: bool) -> None:
        parts = (lambda part: self._send((number, "part", part)),) if has_parts else ()
        try:
            answer = number, "result", getattr(self._hosted, method)(*arguments, *parts)
        except PASSED_ON as error:
            answer = number, "error", as_told(error)
        self._send(answer)

    def _send(self, answer: tuple[int, str, Any]) -> None:
        with self._lock, suppress(BrokenPipeError):  # the parent is gone, which who reads will see
            self._pipe.send(answer)


def _host(pipe: Connection, threads: int, make: Callable[..., Any], arguments: Sequence[Any]) -> None:
    """The process: make the object, and answer."""
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to end
    torch.set_num_threads(threads)
    try:
        hosted = make(*arguments)
    except PASSED_ON as error:
        pipe.send((START, "error", as_told(error)))
        return
    pipe.send((START, "result", None))
    try:
        _Far(pipe, hosted).serve()
    finally:
        hosted.close()
    _end()


def _end() -> None:
    """End this process at once.

    What is left frees nothing that the system does not, and takes vLLM's interpreter a second or more; but for
    semaphores, which have names and would be reported as leaked.
    """
    util._exit_function()  # type: ignore[attr-defined]  # the stubs have no such name
    os._exit(0)
