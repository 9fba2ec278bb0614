"""The problems that a recipe trains, tunes and tests on."""

from collections.abc import Sequence
from dataclasses import dataclass

from doubleback.recipes.schema import TaskConfig
from doubleback.rewards.countdown import Split, problems
from doubleback.rewards.types import Problem


@dataclass(frozen=True, slots=True)
class Splits:
    """Disjoint sets of problems."""

    train: Sequence[Problem]
    """For rollouts."""
    validation: Sequence[Problem]
    """For choosing settings and drawing the curve."""
    test: Sequence[Problem]
    """For the table before and after; never for a choice."""


def load_splits(task: TaskConfig) -> Splits:
    """The problems of the task, split by the identity of each problem."""
    return Splits(*(problems(task.num_numbers, split) for split in (Split.TRAIN, Split.VALIDATION, Split.TEST)))
