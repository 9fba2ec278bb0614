"""The process between the host and its workers: it starts, watches, kills and replaces them, and runs no reward itself.

No two functions share a worker. Every process that a reward starts descends from here, and orphans come back here
(Linux's subreaper), so that nothing escapes: not a worker that crashes after starting a daemon, not one whose host was
killed. When the host is gone, all of them are killed. Run as `python -P -m doubleback.rewards.workers.keeper FD`.
"""

import asyncio
import json
import os
import pickle
import secrets
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from doubleback.rewards.types import Verdict
from doubleback.rewards.workers.first_calls import FirstCalls
from doubleback.rewards.workers.messages import (
    ANSWER,
    HEAD,
    JOB,
    LENGTH,
    MAX_ANSWER,
    TOKEN_BYTES,
    Kind,
    Setup,
    frame,
)
from doubleback.rewards.workers.worker import PR_SET_CHILD_SUBREAPER, children, prctl

END_SECONDS = 2.0
"""How long a worker that has closed its channel may take to end, and be named by how: more on cores that are shared."""
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
    is_fresh: bool = True
    """Whether it has been given no job yet."""

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


@dataclass(frozen=True, slots=True)
class Queued:
    """A job that waits for a worker."""

    number: int
    seconds: float
    """Its limit."""
    content: bytes


class Keeper:
    """Workers on one side, the host on the other, a queue of jobs between for each function."""

    def __init__(self, setup: Setup, host: asyncio.StreamWriter) -> None:
        self._setup, self._host = setup, host
        self.num_workers = setup.num_workers
        self.jobs: list[asyncio.Queue[Queued]] = [asyncio.Queue() for _ in setup.functions]
        self._first_calls = [
            FirstCalls(0.0 if function.is_warm else setup.limits.first_call_seconds) for function in setup.functions
        ]
        self._pids: set[int] = set()

    async def keep(self, function: int) -> None:
        """Have one worker of a function at work for ever: a worker that ends or is killed is replaced."""
        jobs = self.jobs[function]
        while True:
            worker = await self._start(function)
            errors = await self._greeted(worker, function)
            while not errors and await self._serve(worker, await jobs.get(), function):
                pass
            if errors:
                # Whoever waits is told; the next job may find a worker that loads.
                self._send_fault((await jobs.get()).number, Verdict.GRADER_ERROR, errors[0])
            self.kill(worker)

    async def _greeted(self, worker: Worker, function: int) -> list[str]:
        """Pass on what a new worker says of its function; the lines that say why it is not loaded."""
        key = self._setup.functions[function].key
        try:
            greeting = await worker.ask(None, self._setup.limits.load_seconds)
            errors = [str(line) for line in json.loads(greeting)["errors"]]
        except (TimeoutError, OSError, EOFError) as error:
            too_late = isinstance(error, TimeoutError)
            how = f"did not load within {self._setup.limits.load_seconds:g} s" if too_late else self._end_of(worker)
            errors = [f"{key}: the worker {how}"]
        except (ValueError, KeyError, TypeError, RecursionError):
            errors = [f"{key}: the worker wrote something else where it should have said that it has loaded"]
        self._send(function, Kind.GREETING, json.dumps({"errors": errors}).encode() if errors else greeting)
        return errors

    async def _serve(self, worker: Worker, job: Queued, function: int) -> bool:
        """Answer one job; whether the worker can take another."""
        was_fresh, worker.is_fresh = worker.is_fresh, False
        first_calls, token = self._first_calls[function], secrets.token_bytes(TOKEN_BYTES)
        seconds = job.seconds + (first_calls.allowance() if was_fresh else 0.0)
        began = time.monotonic()
        try:
            answer = await worker.ask(token + job.content, seconds)
            found, is_spent = ANSWER.unpack_from(answer)
        except TimeoutError:
            if was_fresh:
                first_calls.timed_out()
            self._send_fault(job.number, Verdict.TIMEOUT, f"took more than {round(seconds, 1):g} s")
            return False
        except (OSError, EOFError):
            self._send_fault(job.number, Verdict.GRADER_ERROR, f"the worker {self._end_of(worker)}")
            return False
        except (ValueError, struct.error) as error:
            self._send_fault(job.number, Verdict.GRADER_ERROR, f"the worker sent no valid answer: {error}")
            return False
        if found != token:
            if was_fresh:
                self._send_fault(job.number, Verdict.GRADER_ERROR, "the worker wrote something else for an answer")
            else:
                self.jobs[function].put_nowait(job)  # left by an earlier call, for which this one is not to blame
            return False
        if was_fresh:
            first_calls.answered(time.monotonic() - began)
        self._send(job.number, Kind.ANSWER, answer[ANSWER.size :])
        return not is_spent

    async def _start(self, function: int) -> Worker:
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
        alone = replace(self._setup, functions=(self._setup.functions[function],))
        writer.write(frame(pickle.dumps(alone)))
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

    def _send(self, number: int, kind: Kind, content: bytes) -> None:
        self._host.write(frame(HEAD.pack(number, kind) + content))

    def _send_fault(self, number: int, verdict: Verdict, detail: str) -> None:
        self._send(number, Kind.FAULT, json.dumps({"verdict": verdict, "detail": detail}).encode())

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
    try:
        setup = await _next(reader)
    except (EOFError, ConnectionError):
        return  # the host was interrupted before it had said what to keep
    keeper = Keeper(pickle.loads(setup), host)
    functions = range(len(keeper.jobs))
    tasks = [asyncio.create_task(keeper.keep(each)) for each in functions for _ in range(keeper.num_workers)]
    try:
        waiting = asyncio.create_task(_next(reader))
        while os.getppid() == parent and not any(task.done() for task in tasks):
            await asyncio.wait({waiting}, timeout=HOST_CHECK_SECONDS)
            if waiting.done():
                content = waiting.result()
                waiting = asyncio.create_task(_next(reader))
                number, seconds, function = JOB.unpack_from(content)
                keeper.jobs[function].put_nowait(Queued(number, seconds, content[JOB.size :]))
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
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)  # a worker that had it could write to the host
    asyncio.run(_run(channel))


if __name__ == "__main__":
    main()
