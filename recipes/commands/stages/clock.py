"""How long each stage of a road took, sitting by sitting: a line as one begins, and one as it ends."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from doubleback.rewards.jsonl import complete_lines, to_lines
from doubleback.rl.run.files import write_atomically

CLOCK = "clock.jsonl"


@contextmanager
def timed(out: Path, stage: str) -> Iterator[None]:
    """The block is a sitting of the stage."""
    _note(out, {"stage": stage, "began": time.time()})
    began = time.perf_counter()
    try:
        yield
    finally:
        _note(out, {"stage": stage, "seconds": time.perf_counter() - began})


def stage_seconds(out: Path, stage: str) -> float:
    """Seconds of all its sittings, start and evaluations included; NaN where it has none, or one was killed."""
    lines = [line for line in complete_lines(out / CLOCK) if line["stage"] == stage]
    seconds = [line["seconds"] for line in lines if "seconds" in line]
    return sum(seconds) if seconds and 2 * len(seconds) == len(lines) else math.nan


def _note(out: Path, line: dict[str, object]) -> None:
    write_atomically(out / CLOCK, to_lines([*complete_lines(out / CLOCK), line]))  # a torn line would stay, appended to
