"""Knights and knaves as a task: every problem there is, split by its identity."""

import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from doubleback.eval.measures.branches import search_measures
from doubleback.eval.measures.deduction import Deduction, replay
from doubleback.eval.measures.moves import Moves
from doubleback.recipes.pretrain.traces import TraceType
from doubleback.recipes.tasks.knights.problems import NUM_PEOPLE, problems
from doubleback.recipes.tasks.knights.traces import make_trace
from doubleback.recipes.tasks.task import Splits, Task
from doubleback.rewards.types import Problem

People = Annotated[int, Field(ge=min(NUM_PEOPLE), le=max(NUM_PEOPLE))]
COLUMNS = {"statements": Sequence[str], "level": People}


@lru_cache(maxsize=1)  # the measures of one completion follow each other
def _replayed(text: str, statements: tuple[str, ...]) -> Deduction:
    return replay(text, statements)


def _replay(columns: Mapping[str, Any], text: str) -> Deduction:
    return _replayed(text, tuple(columns["statements"]))


MEASURES = search_measures(COLUMNS, _replay, ("deduction_error_rate", "deduction errors"), lambda it: it.num_errors)
"""What the replayed assumptions of a search say."""


class Knights(Task):
    """Who of two to four people tells the truth, and who lies? Every such problem, enumerated."""

    measures = MEASURES
    moves = Moves(COLUMNS, lambda columns, text: _replay(columns, text).moves)

    people: Annotated[list[People], Field(min_length=1)] = Field(default=[2, 3, 4])
    """How many people a problem has; several numbers mix them, and `problems.level: level` climbs from few to many."""

    @model_validator(mode="after")
    def _names_each_number_once(self) -> Self:
        if len(set(self.people)) < len(self.people):
            raise ValueError(f"task.people={self.people} names a number twice; write it once")
        return self

    def splits(self) -> Splits:
        """All problems of so many people but those of pre-training."""
        train, validation, test = (
            [problem for number in self.people for problem in problems(number, split)]
            for split in ("train", "validation", "test")
        )
        return Splits(train, validation, test)

    def gold(self, problem: Problem) -> str:
        """A right path and the answer, as in the traces of pre-training."""
        return make_trace(problem, TraceType.OPTIMAL, random.Random(problem.id))
