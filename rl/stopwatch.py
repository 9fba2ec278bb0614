"""Where a step's time goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Seconds per phase of one step."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the block's seconds to those of `name`."""
        start = time.perf_counter()
        yield
        self.count(name, time.perf_counter() - start)

    def count(self, name: str, seconds: float) -> None:
        """Add seconds to those of the phase `name`."""
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def add(self, other: "Stopwatch") -> None:
        """Add the phases of a watch that ran beside this one."""
        for name, seconds in other._seconds.items():
            self.count(name, seconds)

    def metrics(self, rollout_tokens: float, update_tokens: float) -> dict[str, float]:
        """Groups seconds/ and speed/ of `rl.run.metrics`."""
        return {
            **{f"seconds/{name}": seconds for name, seconds in self._seconds.items()},
            "seconds/step": time.perf_counter() - self._start,
            "speed/rollout_tokens_per_s": rollout_tokens / self._seconds["rollout"],
            "speed/update_tokens_per_s": update_tokens / self._seconds["update"],
        }
