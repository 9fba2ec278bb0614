"""Scoring that overlaps with generation: a group is scored while the engine still works on others."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Protocol

from doubleback.rewards.types import Completion, Problem, Score
from doubleback.rl.types import Group


class Reward(Protocol):
    """What the loop and the evaluation ask of a reward; `rewards.compose.reward.Reward` is one."""

    def start(self, problem: Problem, completions: Sequence[Completion]) -> Callable[[], Sequence[Score]]:
        """Begin to score, without waiting; the returned function waits, and gives one score per completion."""

    def refuse_faults(self, judged: Sequence[tuple[Problem, Completion, Score]]) -> None:
        """RunError where too many of these could not be judged."""


class Scoring:
    """The scores of a step or an evaluation: `start` is `Engine.sample`'s `on_group`, `finish` takes what it returns.

    With several rounds of sampling the share that could not be judged is that of all rounds so far.
    """

    def __init__(self, reward: Reward) -> None:
        self._reward = reward
        self._started: dict[Hashable, Callable[[], Sequence[Score]]] = {}
        self._judged: list[tuple[Problem, Completion, Score]] = []

    def start(self, group: Group) -> None:
        """Begin to score a group."""
        self._started[_key(group)] = self._reward.start(group.problem, group.completions)

    def finish(self, groups: Sequence[Group]) -> list[Group]:
        """The groups with one score per completion. RunError where too many could not be judged."""
        scored = [replace(group, scores=tuple(self._started[_key(group)]())) for group in groups]
        self._judged += [
            (group.problem, completion, score)
            for group in scored
            for completion, score in zip(group.completions, group.scores, strict=True)
        ]
        self._reward.refuse_faults(self._judged)
        return scored


def _key(group: Group) -> Hashable:
    """What a group is known by, also in a copy from another process: a problem may stand twice in a step."""
    return group.problem.id, tuple(completion.token_ids for completion in group.completions)
