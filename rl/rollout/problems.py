"""Which problems a step trains on: all in turn, those of the right difficulty, or level by level."""

import math
import random
from collections.abc import Sequence
from statistics import fmean
from typing import Any, Protocol

from doubleback.rewards.types import UNUSABLE, ConfigError, Problem, Verdict
from doubleback.rl.config import ProblemsConfig
from doubleback.rl.types import Group


class Source(Protocol):
    """Who draws the problems of a step, and learns from their groups: `ProblemSource`, or several of them mixed."""

    def take(self, count: int, excluded: frozenset[str] = frozenset()) -> list[Problem]:
        """The next problems that are open, but for those `excluded` (ids); fewer where no others are open."""

    def observe(self, groups: Sequence[Group]) -> None:
        """Learn from a step's groups."""

    def metrics(self) -> dict[str, float]:
        """Where it stands after them."""

    def state(self) -> dict[str, Any]:
        """What exact resume needs, as JSON values."""

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state()`."""


class ProblemSource:
    """Problems without end, reshuffled every epoch by the run's seed. What it learned of them is its `state`.

    Without filter and curriculum the n-th problem depends on seed and n alone. An epoch's remainder is not dropped:
    batches run over the seam.
    """

    def __init__(self, problems: Sequence[Problem], settings: ProblemsConfig, run_seed: int | str) -> None:
        self._problems, self._settings, self._seed = problems, settings, run_seed
        self._levels = [0] * len(problems) if settings.level is None else _levels(problems, settings.level)
        self._position = 0
        self._rates: dict[str, tuple[float, int]] = {}
        """Problem id -> running pass rate, epoch of its last group. Only with a filter."""
        self._level = min(self._levels)
        self._level_rate: float | None = None
        self._order: tuple[int, list[int]] = (-1, [])
        """An epoch and its order: what `_next` would otherwise compute for every problem."""

    def take(self, count: int, excluded: frozenset[str] = frozenset()) -> list[Problem]:
        """The next problems that are open. Those `excluded` (ids) are passed over; fewer where no others are open."""
        taken: list[Problem] = []
        missed, most_missed = 0, len(self._problems) * (self._settings.rest_epochs + 2)
        seen = set(excluded)
        while len(taken) < count and missed < most_missed:
            problem, is_open = self._next()
            if not is_open or (excluded and problem.id in seen):
                missed += 1
                continue
            taken.append(problem)
            seen.add(problem.id)
            missed = 0
        return taken

    def observe(self, groups: Sequence[Group]) -> None:
        """Learn from a step's groups how often their problems are solved; those nobody could judge teach nothing."""
        rates = [(group.problem, rate) for group in groups if (rate := _pass_rate(group)) is not None]
        if self._settings.has_filter:
            epoch = (self._position - 1) // len(self._problems)
            for problem, rate in rates:
                before, _ = self._rates.get(problem.id, (None, epoch))
                self._rates[problem.id] = self._blended(before, rate), epoch
        if (column := self._settings.level) is not None:
            self._climb([rate for problem, rate in rates if problem.columns[column] == self._level])

    def metrics(self) -> dict[str, float]:
        """Group problems/: where filter and curriculum stand; empty without them."""
        metrics: dict[str, float] = {}
        if self._settings.has_filter:
            num_outside = sum(not self._is_in_range(rate) for rate, _ in self._rates.values())
            metrics["problems/out_of_range"] = num_outside / len(self._problems)
        if self._settings.level is not None:
            metrics["problems/level"] = float(self._level)
            metrics["problems/level_pass_rate"] = math.nan if self._level_rate is None else self._level_rate
        return metrics

    def state(self) -> dict[str, Any]:
        """What exact resume needs, as JSON values."""
        rates = {id_: list(item) for id_, item in self._rates.items()}
        return {"position": self._position, "rates": rates, "level": self._level, "level_rate": self._level_rate}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state()`."""
        self._position = state["position"]
        self._rates = {id_: (rate, epoch) for id_, (rate, epoch) in state["rates"].items()}
        self._level, self._level_rate = state["level"], state["level_rate"]

    def _next(self) -> tuple[Problem, bool]:
        """The problem at the position, and whether it is open now; moves on by one."""
        epoch, place = divmod(self._position, len(self._problems))
        if self._order[0] != epoch:
            self._order = epoch, _order(len(self._problems), self._seed, epoch)
        self._position += 1
        index = self._order[1][place]
        problem = self._problems[index]
        return problem, self._levels[index] <= self._level and not self._rests(problem, epoch)

    def _rests(self, problem: Problem, epoch: int) -> bool:
        if problem.id not in self._rates:
            return False
        rate, last_epoch = self._rates[problem.id]
        return not self._is_in_range(rate) and epoch <= last_epoch + self._settings.rest_epochs

    def _is_in_range(self, rate: float) -> bool:
        return self._settings.min_pass_rate <= rate <= self._settings.max_pass_rate

    def _climb(self, rates: Sequence[float]) -> None:
        """Add the next level where a step's pass rates on the highest level so far bring its running one up enough."""
        if rates:
            self._level_rate = self._blended(self._level_rate, fmean(rates))
        higher = [level for level in self._levels if level > self._level]
        if higher and self._level_rate is not None and self._level_rate >= self._settings.promote_at:
            self._level, self._level_rate = min(higher), None

    def _blended(self, before: float | None, rate: float) -> float:
        memory = self._settings.memory
        return rate if before is None else memory * before + (1 - memory) * rate


def _order(size: int, run_seed: int | str, epoch: int) -> list[int]:
    order = list(range(size))
    random.Random(f"{run_seed}/{epoch}").shuffle(order)
    return order


def _pass_rate(group: Group) -> float | None:
    """Share of correct among the judged completions."""
    judged = [item.verdict for item in group.scores if item.verdict not in UNUSABLE]
    return sum(verdict == Verdict.CORRECT for verdict in judged) / len(judged) if judged else None


def _levels(problems: Sequence[Problem], column: str) -> list[int]:
    levels = [problem.columns.get(column) for problem in problems]
    for problem, level in zip(problems, levels, strict=True):
        if not isinstance(level, int) or isinstance(level, bool):
            raise ConfigError(
                f"problems.level={column}: problem {problem.id} has {level!r} there, not a whole number; "
                f"its columns are {', '.join(problem.columns) or 'none'}"
            )
    return [level for level in levels if level is not None]
