"""A worker as its keeper knows it: started, asked, watched."""

import asyncio
import os
import pickle
import signal
import socket
import sys
from dataclasses import dataclass, replace
from typing import Any

from doubleback.rewards.workers.messages import LENGTH, MAX_ANSWER, Setup, frame
from doubleback.rewards.workers.output import Lines, Printer
from doubleback.rewards.workers.shared_memory import Ledger, new_ledger

END_SECONDS = 2.0
"""How long a worker that has closed its channel may take to end, and be named by how: more on cores that are shared."""


@dataclass(eq=False)
class Worker:
    """One process, and the way to ask it."""

    pid: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    death: asyncio.Future[None]
    """Done when the process has ended."""
    lines: Lines
    """What it prints."""
    ledger: Ledger
    """What it makes in /dev/shm."""
    is_fresh: bool = True
    """Whether it has been given no job yet."""
    loaded_kib: int = 0
    """What it has allocated by loading."""
    excess: str | None = None
    """The limit of all its processes that it has exceeded, in words; it was killed for that."""

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

    def end_in_words(self) -> str:
        """How the process ended."""
        # Not reaped yet: until its tree is killed, the number of the process must stay taken.
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return "closed its channel"
        if ended.si_code == os.CLD_EXITED:
            return f"ended with exit code {ended.si_status}"
        return f"ended with signal {signal.Signals(ended.si_status).name}"

    def close(self) -> None:
        """Close the ways to a process that has ended, and remove what it left in /dev/shm."""
        asyncio.get_running_loop().remove_reader(self.lines.descriptor)
        self.writer.close()
        self.lines.close()
        self.ledger.close()


async def start(setup: Setup, printer: Printer, pids: set[int]) -> Worker:
    """A worker of the only function of `setup`; its number is among `pids` as soon as it has one."""
    (spec,) = setup.functions
    ours, theirs = socket.socketpair()
    printed, prints = os.pipe()
    ledger = new_ledger()
    command = [sys.executable, "-P", "-u", "-m", "doubleback.rewards.workers.worker", str(theirs.fileno())]
    theirs.set_inheritable(True)
    # A reward that uses numpy or torch must not take the cores from the trainer.
    environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **os.environ}
    no_input = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    actions = [no_input, (os.POSIX_SPAWN_DUP2, prints, 1), (os.POSIX_SPAWN_DUP2, prints, 2)]
    pid = os.posix_spawn(sys.executable, command, environment, file_actions=actions, setsid=True)
    pids.add(pid)
    theirs.close()
    os.close(prints)
    page, lines = Ledger(ledger), Lines(printed, spec.key, printer)
    asyncio.get_running_loop().add_reader(printed, _pass_on, lines)
    death = _death_of(pid)
    reader, writer = await asyncio.open_connection(sock=ours)
    writer.write(frame(pickle.dumps(replace(setup, ledger=ledger))))
    return Worker(pid, reader, writer, death, lines, page)


def _pass_on(lines: Lines) -> None:
    """Pass on what a worker prints; at the end of its pipe there is nothing more to wait for."""
    if not lines.read():
        asyncio.get_running_loop().remove_reader(lines.descriptor)


def _death_of(pid: int) -> asyncio.Future[None]:
    """Done when this child has ended."""
    loop = asyncio.get_running_loop()
    death: asyncio.Future[None] = loop.create_future()
    descriptor = os.pidfd_open(pid)

    def ended() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        death.set_result(None)

    loop.add_reader(descriptor, ended)
    return death
