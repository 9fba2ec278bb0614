"""What workers print, on its way to where errors go: each line behind the name of its reward, and harmless."""

import os
import queue
import threading
from contextlib import suppress

from doubleback.rewards.visible import visible

MAX_LINES = 100
"""Lines shown of a call, or of loading."""
MAX_COLUMNS = 500
"""Characters shown of a line."""
CHUNK = 1 << 16
MAX_PIECES = 16
BACKLOG = 1000
"""Lines that may wait for a terminal that is slow; what comes beyond is dropped, for nobody else shall wait for it."""


class Printer:
    """Writes lines to where errors go, from a thread of its own."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[bytes | None] = queue.Queue(BACKLOG)
        self._thread = threading.Thread(target=self._write, name="printed by rewards", daemon=True)
        self._thread.start()

    def print(self, line: str) -> None:
        """Write a line, some time."""
        with suppress(queue.Full):
            self._waiting.put_nowait(f"{line}\n".encode())

    def close(self, seconds: float) -> None:
        """Write what waits, within this time."""
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
        self._thread.join(seconds)

    def _write(self) -> None:
        while (line := self._waiting.get()) is not None:
            with suppress(OSError):  # nobody reads
                os.write(2, line)


class Lines:
    """The end of a pipe into which one worker, and all that it starts, print."""

    def __init__(self, descriptor: int, name: str, printer: Printer) -> None:
        self.descriptor = descriptor
        self._name, self._printer = visible(name), printer
        self._rest, self._num_lines = b"", 0
        os.set_blocking(descriptor, False)

    def begin(self) -> None:
        """A call begins: as many lines as `MAX_LINES` may be shown of it."""
        for _ in range(MAX_PIECES):  # of what was printed before; whoever prints without end is not waited for
            if not self.read():
                break
        self._num_lines = 0

    def read(self) -> bool:
        """Pass on the next piece of what is there; False where there was none."""
        try:
            content = os.read(self.descriptor, CHUNK)
        except BlockingIOError:
            return False
        *lines, rest = (self._rest + content).split(b"\n")
        self._rest = rest[: MAX_COLUMNS * 4]
        for line in lines:
            self._show(line)
        return content != b""

    def close(self) -> None:
        """Pass on what is left, half a line too, and close."""
        while self._num_lines <= MAX_LINES and self.read():
            pass
        if self._rest:
            self._show(self._rest)
        os.close(self.descriptor)

    def _show(self, line: bytes) -> None:
        self._num_lines += 1
        if self._num_lines <= MAX_LINES:
            self._printer.print(f"{self._name}: {shown(line)}")
        elif self._num_lines == MAX_LINES + 1:
            self._printer.print(f"{self._name}: more than {MAX_LINES} lines; the others are not shown")


def shown(line: bytes) -> str:
    """A line as it may reach a terminal: nothing that it would obey, and no more than `MAX_COLUMNS` characters."""
    text = visible(line.decode("utf-8", "backslashreplace"))
    return text if len(text) <= MAX_COLUMNS else f"{text[:MAX_COLUMNS]}..."
