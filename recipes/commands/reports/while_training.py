"""The report as a run writes it: at its evaluations, as far as that costs next to nothing, and at its end.

A report is for people, and a run is worth more than its report: whatever fails in it is one line, and the run goes on.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from doubleback.eval.compare import SUMMARY
from doubleback.eval.show.console import Console
from doubleback.recipes.commands.reports.on_demand import REPORT, write
from doubleback.rewards.types import first_line

MOST_SHARE = 0.005
"""Of the run's time that reports may take while it goes on."""
MOST_SAMPLES = 32
"""Of each step that a run's own report shows, in whole groups: packing all of them would take as long as a step."""
FIRST_SECONDS = 1.0
"""What one is taken to cost before one was written."""


class ReportWriter:
    """Writes the report of a run that goes on, at evaluations."""

    def __init__(self, run: Path, console: Console, clock: Callable[[], float] = time.perf_counter) -> None:
        self._run, self._console, self._clock = run, console, clock
        self._began = clock()
        self._spent, self._newest = 0.0, FIRST_SECONDS

    def observe(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write it where the step was evaluated, unless it and those before would take more than `MOST_SHARE`."""
        began = self._clock()
        is_evaluated = any(name.startswith("eval/") for name in metrics)
        if is_evaluated and self._spent + self._newest <= MOST_SHARE * (began - self._began):
            written_or_said(self._run, self._console)
            self._newest = self._clock() - began
            self._spent += self._newest


def written_or_said(folder: Path, console: Console) -> bool:
    """Write the report of a run or an evaluation into its folder; where that fails, one line says why."""
    try:
        write([folder], folder / REPORT, None if (folder / SUMMARY).exists() else MOST_SAMPLES)
    except Exception as error:  # noqa: BLE001 - of a library or ours, no fault in a picture may end what it is of
        console.print(f"report  not written ({type(error).__name__}: {first_line(error)})", soft_wrap=True)
        return False
    return True


def write_at_the_end(folder: Path, console: Console) -> None:
    """The same, and where it lies."""
    if written_or_said(folder, console):
        console.print(f"report  {folder / REPORT}", soft_wrap=True)
