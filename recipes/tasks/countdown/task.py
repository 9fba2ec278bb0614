"""Countdown as a task: every problem there is, split by its identity."""

import random
from typing import Annotated

from pydantic import Field

from doubleback.recipes.tasks.countdown.traces import TraceType, make_trace
from doubleback.recipes.tasks.task import Splits, Task
from doubleback.rewards.builtin.countdown import NUM_NUMBERS, Split, problems
from doubleback.rewards.types import Problem


class Countdown(Task):
    """Reach a target from three or four numbers, each used once; every such problem, enumerated."""

    num_numbers: Annotated[int, Field(ge=min(NUM_NUMBERS), le=max(NUM_NUMBERS))] = 3
    """Numbers per problem; 4 is the harder setting."""

    def splits(self) -> Splits:
        """All problems of this size but those of pre-training."""
        return Splits(*(problems(self.num_numbers, split) for split in (Split.TRAIN, Split.VALIDATION, Split.TEST)))

    def gold(self, problem: Problem) -> str:
        """A right path and the answer, as in the traces of pre-training."""
        return make_trace(problem, TraceType.OPTIMAL, random.Random(problem.id))
