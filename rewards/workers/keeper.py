"""The process between the host and its workers: it starts, watches, kills and replaces them, and runs no reward itself.

No two functions share a worker. Every process that a reward starts descends from here, and orphans come back here
(Linux's subreaper), so that nothing escapes: not a worker that crashes after starting a daemon, not one whose host was
killed. When the host is gone, all of them are killed. Run as `python -P -m doubleback.rewards.workers.keeper FD`.
"""

import asyncio
import json
import os
import pickle
import socket
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace

from doubleback.rewards.types import Verdict
from doubleback.rewards.workers.child import END_SECONDS, Worker, start
from doubleback.rewards.workers.confinement import close_descriptors, hide, prctl
from doubleback.rewards.workers.first_calls import FirstCalls
from doubleback.rewards.workers.messages import (
    ANSWER,
    HEAD,
    JOB,
    LENGTH,
    TOKEN_BYTES,
    Kind,
    Setup,
    frame,
    scores_from_json,
)
from doubleback.rewards.workers.output import Printer
from doubleback.rewards.workers.tree import allocated_kib, children, excess, kill_tree
from doubleback.rewards.workers.worker import PR_SET_CHILD_SUBREAPER

HOST_CHECK_SECONDS = 1.0
"""How often to look whether the host lives. Its end is normally seen at once, unless a fork of it keeps the channel."""
WATCH_SECONDS = 0.1
"""How often to look what workers that are at work take, with all that they have started."""


@dataclass(frozen=True, slots=True)
class Queued:
    """A job that waits for a worker."""

    number: int
    seconds: float
    """Its limit."""
    size: int
    """How many completions it is for."""
    token: bytes
    """What its answer begins with."""
    content: bytes


class Keeper:
    """Workers on one side, the host on the other, a queue of jobs between for each function."""

    def __init__(self, setup: Setup, host: asyncio.StreamWriter, token: bytes) -> None:
        self._setup, self._host, self._token = setup, host, token
        self.num_workers = setup.num_workers
        self.jobs: list[asyncio.Queue[Queued]] = [asyncio.Queue() for _ in setup.functions]
        self._first_calls = [
            FirstCalls(0.0 if function.is_warm else setup.limits.first_call_seconds) for function in setup.functions
        ]
        self._busy: set[Worker] = set()
        self._workers: set[Worker] = set()
        self._pids: set[int] = set()
        self.printer = Printer()

    async def watch(self) -> None:
        """Kill, for ever, workers that take more than their limits, together with what they have started."""
        limits = self._setup.limits
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            for worker in self._busy:
                taken = excess(worker.pid, worker.loaded_kib, limits.memory_mib, limits.processes)
                if taken is not None:
                    worker.excess = taken
                    kill_tree(worker.pid)

    async def keep(self, function: int) -> None:
        """Have one worker of a function at work for ever: a worker that ends or is killed is replaced."""
        jobs = self.jobs[function]
        while True:
            alone = replace(self._setup, functions=(self._setup.functions[function],))
            worker = await start(alone, self.printer, self._pids)
            self._workers.add(worker)
            errors = await self._greeted(worker, function)
            while not errors and await self._serve(worker, await jobs.get(), function):
                pass
            if errors:
                # Whoever waits is told; the next job may find a worker that loads.
                self._send_fault(await jobs.get(), Verdict.GRADER_ERROR, errors[0])
            self.kill(worker)

    async def _greeted(self, worker: Worker, function: int) -> list[str]:
        """Pass on what a new worker says of its function; the lines that say why it is not loaded."""
        key = self._setup.functions[function].key
        try:
            greeting = await worker.ask(None, self._setup.limits.load_seconds)
            errors = [str(line) for line in json.loads(greeting)["errors"]]
        except (TimeoutError, OSError, EOFError) as error:
            too_late = isinstance(error, TimeoutError)
            how = f"did not load within {self._setup.limits.load_seconds:g} s" if too_late else worker.end_in_words()
            errors = [f"{key}: the worker {how}"]
        except (ValueError, KeyError, TypeError, RecursionError):
            errors = [f"{key}: the worker wrote something else where it should have said that it has loaded"]
        worker.loaded_kib = allocated_kib(worker.pid)
        content = json.dumps({"errors": errors}).encode() if errors else greeting
        self._send(function, Kind.GREETING, self._token, content)
        return errors

    async def _serve(self, worker: Worker, job: Queued, function: int) -> bool:
        """Answer one job; whether the worker can take another."""
        was_fresh, worker.is_fresh = worker.is_fresh, False
        first_calls = self._first_calls[function]
        seconds = job.seconds + (first_calls.allowance() if was_fresh else 0.0)
        began = time.monotonic()
        worker.lines.begin()
        self._busy.add(worker)
        try:
            answer = await worker.ask(job.token + job.content, seconds)
            token, is_spent = ANSWER.unpack_from(answer)
            if token == job.token:
                scores_from_json(answer[ANSWER.size :], job.size)
        except TimeoutError:
            if was_fresh:
                first_calls.timed_out()
            self._send_fault(job, Verdict.TIMEOUT, f"took more than {round(seconds, 1):g} s")
            return False
        except (OSError, EOFError):
            self._send_fault(job, Verdict.GRADER_ERROR, worker.excess or f"the worker {worker.end_in_words()}")
            return False
        except (ValueError, struct.error) as error:
            self._send_fault(job, Verdict.GRADER_ERROR, f"the worker sent no valid answer: {error}")
            return False
        finally:
            self._busy.discard(worker)
        if token != job.token:
            if was_fresh:
                self._send_fault(job, Verdict.GRADER_ERROR, "the worker wrote something else for an answer")
            else:
                self.jobs[function].put_nowait(job)  # left by an earlier call, for which this one is not to blame
            return False
        if was_fresh:
            first_calls.answered(time.monotonic() - began)
        self._send(job.number, Kind.ANSWER, job.token, answer[ANSWER.size :])
        return not is_spent

    def kill(self, worker: Worker) -> None:
        """End a worker with all its descendants, those that hide from their process group included."""
        kill_tree(worker.pid)
        self._workers.discard(worker)
        self._pids.discard(worker.pid)
        # Children of this process that are no workers were left by a worker that ended by itself.
        for orphan in children(os.getpid()) - self._pids:
            kill_tree(orphan)
        _reap(self._pids)
        worker.close()

    def kill_all(self) -> None:
        """Kill every child with all its descendants, and remove what they have left in /dev/shm."""
        for pid in children(os.getpid()):
            kill_tree(pid)
        for worker in self._workers:
            worker.close()
        self.printer.close(END_SECONDS)

    def _send(self, number: int, kind: Kind, token: bytes, content: bytes) -> None:
        self._host.write(frame(HEAD.pack(number, kind, token) + content))

    def _send_fault(self, job: Queued, verdict: Verdict, detail: str) -> None:
        self._send(job.number, Kind.FAULT, job.token, json.dumps({"verdict": verdict, "detail": detail}).encode())


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
    keeper = Keeper(pickle.loads(setup[TOKEN_BYTES:]), host, setup[:TOKEN_BYTES])
    functions = range(len(keeper.jobs))
    tasks = [asyncio.create_task(keeper.keep(each)) for each in functions for _ in range(keeper.num_workers)]
    tasks.append(asyncio.create_task(keeper.watch()))
    try:
        waiting = asyncio.create_task(_next(reader))
        while os.getppid() == parent and not any(task.done() for task in tasks):
            await asyncio.wait({waiting}, timeout=HOST_CHECK_SECONDS)
            if waiting.done():
                content = waiting.result()
                waiting = asyncio.create_task(_next(reader))
                number, seconds, function, size, token = JOB.unpack_from(content)
                keeper.jobs[function].put_nowait(Queued(number, seconds, size, token, content[JOB.size :]))
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
    close_descriptors(int(sys.argv[1]))  # a worker that had the channel could write to the host
    hide()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    asyncio.run(_run(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
