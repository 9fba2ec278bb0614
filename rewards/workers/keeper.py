"""The process between the host and its workers: it starts, watches, kills and replaces them, and runs no reward itself.

Every process that a reward starts descends from here, and orphans come back here (Linux's subreaper), so that nothing
escapes: not a worker that crashes after starting a daemon, not one whose host was killed. When the host is gone, all
of them are killed. Run as `python -P -m doubleback.rewards.workers.keeper FD`.
"""

import asyncio
import json
import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from doubleback.rewards.types import Verdict
from doubleback.rewards.workers.messages import JOB, LENGTH, MAX_ANSWER, NUMBER, Setup, frame
from doubleback.rewards.workers.worker import PR_SET_CHILD_SUBREAPER, children, prctl

END_SECONDS = 2.0
"""How long a worker that has closed its channel may take to end, and be named by how: more on cores that are shared."""
FIRST_CALL_MARGIN = 3.0
"""How much slower than the slowest so far another first call of a function may be."""
HOST_CHECK_SECONDS = 1.0
"""How often to look whether the host lives. Its end is normally seen at once, unless a fork of it keeps the channel."""


@dataclass
class Worker:
    """One process, and the way to ask it."""

    pid: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    death: asyncio.Future[None]
    """Done when the process has ended."""
    called: set[int] = field(default_factory=set)
    """Functions of which it has begun a call."""

    async def ask(self, content: bytes | None, seconds: float) -> bytes:
        """Send a job (None: send nothing) and read the answer. TimeoutError; ConnectionError says how it died."""
        if content is not None:
            self.writer.write(frame(content))
        answer = asyncio.create_task(self._read())
        either: set[asyncio.Future[Any]] = {answer, self.death}
        await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done() and not self.death.done():
            answer.cancel()
            raise TimeoutError
        # The end of the channel and the end of the process are seen one after the other, in either order.
        is_broken = answer.done() and answer.exception() is not None
        await asyncio.wait(either if is_broken else {answer}, timeout=END_SECONDS if is_broken else 0.2)
        if not answer.done():
            answer.cancel()
            raise ConnectionError
        return answer.result()

    async def _read(self) -> bytes:
        (size,) = LENGTH.unpack(await self.reader.readexactly(LENGTH.size))
        if size > MAX_ANSWER:
            raise ValueError(f"an answer of {size} bytes, more than {MAX_ANSWER}")
        return await self.reader.readexactly(size)


class FirstCalls:
    """How long the first call of a function in a fresh worker may take beyond its limit.

    All of `seconds` while nothing is known of the function; then some times what its slowest first call took, so that a
    worker that replaces another may import the same again; nothing once a first call has used all of it in vain.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._known: dict[int, float] = {}

    def allowance(self, function: int) -> float:
        """Seconds beyond the limit."""
        return self._known.get(function, self._seconds)

    def answered(self, function: int, seconds: float) -> None:
        """A first call has come to its end in this time."""
        self._known[function] = max(self._known.get(function, 0.0), min(self._seconds, FIRST_CALL_MARGIN * seconds))

    def timed_out(self, function: int) -> None:
        """A first call has not."""
        self._known.setdefault(function, 0.0)


@dataclass(frozen=True, slots=True)
class Queued:
    """A job that waits for a worker."""

    number: int
    seconds: float
    """Its limit."""
    function: int
    content: bytes


class Keeper:
    """Workers on one side, the host on the other, a queue of jobs between."""

    def __init__(self, setup: Setup, host: asyncio.StreamWriter) -> None:
        self._setup, self._host = setup, host
        self.jobs: asyncio.Queue[Queued] = asyncio.Queue()
        self._first_calls = FirstCalls(setup.limits.first_call_seconds)
        self._pids: set[int] = set()

    async def keep(self) -> None:
        """Have one worker at work for ever: a worker that ends or is killed is replaced."""
        while True:
            worker = await self._start()
            try:
                greeting = await worker.ask(None, self._setup.limits.load_seconds)
            except (TimeoutError, OSError, EOFError) as error:
                too_late = isinstance(error, TimeoutError)
                how = f"did not load within {self._setup.limits.load_seconds:g} s" if too_late else self._end_of(worker)
                greeting = json.dumps({"errors": [f"the reward functions: the worker {how}"]}).encode()
            self._send(0, greeting)
            is_loaded = not json.loads(greeting)["errors"]
            while is_loaded and await self._serve(worker, await self.jobs.get()):
                pass
            if not is_loaded:
                # Whoever waits is told; the next job may find a worker that loads.
                job = await self.jobs.get()
                self._send_fault(job.number, Verdict.GRADER_ERROR, json.loads(greeting)["errors"][0])
            self.kill(worker)

    async def _serve(self, worker: Worker, job: Queued) -> bool:
        """Answer one job; whether the worker can take another."""
        is_first = job.function not in worker.called and not self._setup.functions[job.function].is_warm
        worker.called.add(job.function)
        seconds = job.seconds + (self._first_calls.allowance(job.function) if is_first else 0.0)
        began = time.monotonic()
        try:
            answer = await worker.ask(job.content, seconds)
            is_spent = bool(json.loads(answer)["is_spent"])
        except TimeoutError:
            self._first_calls.timed_out(job.function)
            self._send_fault(job.number, Verdict.TIMEOUT, f"took more than {round(seconds, 1):g} s")
            return False
        except (OSError, EOFError):
            self._send_fault(job.number, Verdict.GRADER_ERROR, f"the worker {self._end_of(worker)}")
            return False
        except (ValueError, KeyError, TypeError) as error:
            self._send_fault(job.number, Verdict.GRADER_ERROR, f"the worker sent no valid answer: {error}")
            return False
        if is_first:
            self._first_calls.answered(job.function, time.monotonic() - began)
        self._send(job.number, answer)
        return not is_spent

    async def _start(self) -> Worker:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "doubleback.rewards.workers.worker", str(theirs.fileno())]
        theirs.set_inheritable(True)
        # A reward that uses numpy or torch must not take the cores from the trainer.
        environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **os.environ}
        # What it prints goes where errors go: standard output belongs to the host.
        actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, 2, 1)]
        pid = os.posix_spawn(sys.executable, command, environment, file_actions=actions, setsid=True)
        theirs.close()
        self._pids.add(pid)
        reader, writer = await asyncio.open_connection(sock=ours)
        loop = asyncio.get_running_loop()
        death: asyncio.Future[None] = loop.create_future()
        descriptor = os.pidfd_open(pid)

        def ended() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            death.set_result(None)

        loop.add_reader(descriptor, ended)
        worker = Worker(pid, reader, writer, death)
        writer.write(frame(pickle.dumps(self._setup)))
        return worker

    def kill(self, worker: Worker) -> None:
        """End a worker with all its descendants, those that hide from their process group included."""
        _kill_tree(worker.pid)
        worker.writer.close()
        self._pids.discard(worker.pid)
        # Children of this process that are no workers were left by a worker that ended by itself.
        for orphan in children(os.getpid()) - self._pids:
            _kill_tree(orphan)
        _reap(self._pids)

    def kill_all(self) -> None:
        """Kill every child with all its descendants."""
        for pid in children(os.getpid()):
            _kill_tree(pid)

    def _send(self, number: int, content: bytes) -> None:
        self._host.write(frame(NUMBER.pack(number) + content))

    def _send_fault(self, number: int, verdict: Verdict, detail: str) -> None:
        self._send(number, json.dumps({"fault": verdict, "detail": detail}).encode())

    @staticmethod
    def _end_of(worker: Worker) -> str:
        # Not reaped yet: until its tree is killed, the number of the process must stay taken.
        ended = os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return "closed its channel"
        if ended.si_code == os.CLD_EXITED:
            return f"ended with exit code {ended.si_status}"
        return f"ended with signal {signal.Signals(ended.si_status).name}"


def _kill_tree(pid: int) -> None:
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


def _descendants(pid: int) -> Iterator[int]:
    for child in children(pid):
        yield child
        yield from _descendants(child)


def _reap(workers: set[int]) -> None:
    """Collect the ended children that nobody else will ask about."""
    with suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid not in workers:
            os.waitpid(ended.si_pid, 0)


async def _run(channel: socket.socket) -> None:
    parent = os.getppid()
    reader, host = await asyncio.open_connection(sock=channel)
    keeper = Keeper(pickle.loads(await _next(reader)), host)
    tasks = [asyncio.create_task(keeper.keep()) for _ in range(keeper._setup.num_workers)]
    try:
        waiting = asyncio.create_task(_next(reader))
        while os.getppid() == parent and not any(task.done() for task in tasks):
            await asyncio.wait({waiting}, timeout=HOST_CHECK_SECONDS)
            if waiting.done():
                content = waiting.result()
                waiting = asyncio.create_task(_next(reader))
                number, seconds, function = JOB.unpack_from(content)
                keeper.jobs.put_nowait(Queued(number, seconds, function, content[JOB.size :]))
    except (EOFError, ConnectionError):
        pass  # the host has closed the channel, or is gone
    finally:
        keeper.kill_all()
    for task in tasks:
        if task.done():
            task.result()  # a fault of ours: show it


async def _next(reader: asyncio.StreamReader) -> bytes:
    (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    return await reader.readexactly(size)


def main() -> None:
    """Keep workers until the host is gone."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    asyncio.run(_run(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
