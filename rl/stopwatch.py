"""Where a step's time goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Seconds per phase of one step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        """Phase -> its seconds so far."""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the block's seconds to those of `name`."""
        started = time.perf_counter()
        yield
        self.count(name, time.perf_counter() - started)

    def count(self, name: str, seconds: float) -> None:
        """Add seconds to those of the phase `name`."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
