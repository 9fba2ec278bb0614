"""The progress bar of an evaluation."""

import math
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from doubleback.eval.show.console import Console
from doubleback.eval.statistics.intervals import interval
from doubleback.recipes.commands.display import progress_bar
from doubleback.rewards.sample_lines import is_correct
from doubleback.rewards.types import UNUSABLE

REFRESH_SECONDS = 2.0
"""How often the interval is computed anew."""
LINE_SECONDS = 10.0
"""How often a line is printed where the output goes to a file."""


class EvalProgress:
    """Problems done, problems a second, and pass@1 so far with its 95 % interval."""

    def __init__(self, console: Console, num_problems: int, n: int) -> None:
        self._console, self._num_problems, self._is_single = console, num_problems, n == 1
        self._rates: list[float] = []
        self._start = self._shown = time.monotonic()
        self._progress = progress_bar(console)
        self._task = self._progress.add_task("problems", total=num_problems, figures="")

    def __enter__(self) -> "EvalProgress":
        self._progress.start()
        self._start = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def observe(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Count a finished problem."""
        judged = [is_correct(line) for line in lines if line["verdict"] not in UNUSABLE]
        self._rates.append(sum(judged) / len(judged) if judged else math.nan)
        is_last = len(self._rates) == self._num_problems
        now = time.monotonic()
        if now - self._shown < (REFRESH_SECONDS if self._console.is_terminal else LINE_SECONDS) and not is_last:
            self._progress.update(self._task, completed=len(self._rates))
            return
        self._shown = now
        estimate = interval(self._rates, self._is_single)
        speed = len(self._rates) / max(now - self._start, 1e-9)
        figures = f"{speed:.1f}/s  pass@1 {estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
        self._progress.update(self._task, completed=len(self._rates), figures=figures)
        if not self._console.is_terminal:
            self._console.print(f"{len(self._rates)}/{self._num_problems}  {figures}", highlight=False)
