"""Ctrl-C and SIGTERM: the first asks the command to stop, the second ends it at once, and so does what hangs.

Work that may be dropped is dropped there and then: `Interrupted` is raised in the main thread. In a `finishing` block
the signal is noted alone, so that a step and its checkpoint are whole. A thread of its own keeps the time, since the
main one may hang in code that is not Python's.
"""

import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from time import monotonic

import psutil

GRACE_SECONDS = 5.0
"""How long dropping and closing may take; what is being finished is not counted."""
ONE_SIGNAL_SECONDS = 0.5
"""A signal that comes again so soon is the same one: `timeout` sends it to a process and to its group."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal asked the command to stop. No Exception, so that nothing takes it for an error of its own."""


class Stop:
    """Whether this process was asked to stop, and what it says then."""

    def __init__(self) -> None:
        self.asked: int | None = None
        """The signal."""
        self.done = ""
        """What was kept, for the last line."""
        self.going_on: Callable[[], str] = _again
        """How to go on, for the last line."""
        self._is_finishing = self._is_listening = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Signals of this block are heard, in the main thread; after one that was, the process is expected to end."""
        self.asked, self.done, self.going_on, self._is_finishing = None, "", _again, False
        self._is_listening = True
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        # A shell that starts a command in the background has it ignore SIGINT, which stays so.
        before = {number: signal.signal(number, self._hear) for number in SIGNALS if not _is_ignored(number)}
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        Thread(target=self._watch, args=(reader,), daemon=True).start()
        try:
            yield
        finally:
            if self.asked is None:
                signal.set_wakeup_fd(-1)
                for number, handler in before.items():
                    signal.signal(number, handler)
                os.close(writer)
                self._is_listening = False

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """Nothing of this block is dropped but what is `droppable`; Interrupted at its end where a signal came."""
        with self._as(is_finishing=True):
            yield
        self._obey()

    @contextmanager
    def droppable(self) -> Iterator[None]:
        """Interrupted is raised in this block as soon as a signal comes, or has come."""
        with self._as(is_finishing=False):
            self._obey()
            yield

    def end_hung(self, line: str) -> None:
        """End this process, whose main thread does not come back, and all below it, with the line that says why.

        Where nobody listens, as in a notebook, the process is not ours to end: the line is said alone.
        """
        if not self._is_listening:
            _say(f"doubleback: {line}")
            return
        _say(f"stopped: {line}; {self.last_line() if self.asked else self.going_on()}")
        _end_all(1 if self.asked is None else 128 + self.asked)

    def last_line(self) -> str:
        """What was kept and how to go on."""
        return "; ".join(text for text in ("interrupted", self.done, self.going_on()) if text)

    @contextmanager
    def _as(self, *, is_finishing: bool) -> Iterator[None]:
        before, self._is_finishing = self._is_finishing, is_finishing
        try:
            yield
        finally:
            self._is_finishing = before

    def _obey(self) -> None:
        if self.asked is not None and not self._is_finishing:
            raise Interrupted

    def _hear(self, number: int, frame: object) -> None:
        is_first, self.asked = self.asked is None, self.asked or number
        if is_first:
            self._obey()

    def _watch(self, reader: int) -> None:
        """The other thread: ends the process at a second signal, or where it does not end by itself."""
        first, began = None, 0.0
        since = monotonic()
        while True:
            if select.select([reader], [], [], 0.1)[0]:
                heard = os.read(reader, 1)
                if not heard:
                    os.close(reader)
                    return
                if heard[0] in SIGNALS and first is None:
                    first, began = heard[0], monotonic()
                    since = began
                    _say(
                        "stopping"
                        + (" after this step" if self._is_finishing else "")
                        + "; a second signal ends it at once"
                    )
                elif heard[0] in SIGNALS and monotonic() - began > ONE_SIGNAL_SECONDS:
                    self._end(heard[0])
            if first is None or self._is_finishing:
                since = monotonic()
            elif monotonic() - since > GRACE_SECONDS:
                self._end(first)

    def _end(self, number: int) -> None:
        """The same after a signal, whatever hangs."""
        _say(self.last_line())
        _end_all(128 + number)


def _end_all(code: int) -> None:
    """End this process and all below it, whatever they are doing."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it ended by itself
            if "resource_tracker" not in " ".join(process.cmdline()):  # it ends last, and cleans up
                process.kill()
    os._exit(code)


def _again() -> str:
    return "run the same command again"


def _is_ignored(number: int) -> bool:
    return signal.getsignal(number) == signal.SIG_IGN


def _say(line: str) -> None:
    os.write(2, f"{line}\n".encode())


STOP = Stop()
"""Signals are the process's, and so is this. Where nobody is `listening`, as in a notebook, nothing is ever asked."""
