"""Scoring that overlaps with generation: a group is scored while the engine still works on others."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from doubleback.rewards.types import Completion, Problem, Score
from doubleback.rl.types import Group


class Scorer(Protocol):
    """What the loop and the evaluation ask of a reward; `rewards.compose.reward.Reward` is one."""

    def start(self, problem: Problem, completions: Sequence[Completion]) -> Callable[[], Sequence[Score]]:
        """Begin to score, without waiting; the returned function waits, and gives one score per completion."""

    def refuse_faults(self, judged: Sequence[tuple[Problem, Completion, Score]]) -> None:
        """RunError where too many of these could not be judged."""


class Scoring:
    """The scores of a step or an evaluation: `start` is `Engine.sample`'s `on_group`, `finish` takes what it returns.

    One call of the engine at a time; with several the share that could not be judged is that of all of them so far.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._started: dict[int, Callable[[], Sequence[Score]]] = {}
        self._judged: list[tuple[Problem, Completion, Score]] = []

    def start(self, index: int, group: Group) -> None:
        """Begin to score the group of the engine's problem number `index`."""
        self._started[index] = self._scorer.start(group.problem, group.completions)

    def finish(self, groups: Sequence[Group]) -> list[Group]:
        """The groups with one score per completion. RunError where too many could not be judged."""
        started, self._started = self._started, {}
        scored = [replace(group, scores=tuple(started[index]())) for index, group in enumerate(groups)]
        self._judged += [(group.problem, row.completion, row.score) for group in scored for row in group.rows()]
        self._scorer.refuse_faults(self._judged)
        return scored
