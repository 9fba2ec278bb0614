"""Countdown as a task: every problem there is, split by its identity."""

import random
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Annotated, Any

from pydantic import Field

from doubleback.eval.measures.backtracking import Replay, replay
from doubleback.eval.measures.branches import search_measures
from doubleback.eval.measures.moves import Moves
from doubleback.recipes.pretrain.traces import TraceType, search_trace
from doubleback.recipes.tasks.countdown.traces import make_trace, search
from doubleback.recipes.tasks.task import Splits, Task, Trace
from doubleback.rewards.builtin.countdown import NUM_NUMBERS, Split, problems
from doubleback.rewards.types import Problem

COLUMNS = {"numbers": Sequence[int], "target": int}


@lru_cache(maxsize=1)  # the measures of one completion follow each other
def _replayed(text: str, numbers: tuple[int, ...], target: int) -> Replay:
    return replay(text, numbers, target)


def _replay(columns: Mapping[str, Any], text: str) -> Replay:
    return _replayed(text, tuple(columns["numbers"]), columns["target"])


MEASURES = search_measures(
    COLUMNS, _replay, ("arithmetic_error_rate", "arithmetic errors"), lambda it: it.num_arithmetic_errors
)
"""What the replayed states of a search say."""


class Countdown(Task):
    """Reach a target from three or four numbers, each used once; every such problem, enumerated."""

    measures = MEASURES
    moves = Moves(COLUMNS, lambda columns, text: _replay(columns, text).moves)

    num_numbers: Annotated[int, Field(ge=min(NUM_NUMBERS), le=max(NUM_NUMBERS))] = 3
    """Numbers per problem; 4 is the harder setting."""

    def splits(self) -> Splits:
        """All problems of this size but those of pre-training."""
        train, validation, test = (
            problems(self.num_numbers, split) for split in (Split.TRAIN, Split.VALIDATION, Split.TEST)
        )
        return Splits(train, validation, test)

    def traces(self) -> Mapping[str, Trace]:
        """`search` doubles back and ends right; `search_wrong` is the same search, given up one check too early."""

        def searched(problem: Problem, seed: int, is_right: bool) -> str | None:
            return search_trace(search, problem, random.Random(f"{seed}:{problem.id}"), is_right=is_right)

        return {"search": partial(searched, is_right=True), "search_wrong": partial(searched, is_right=False)}

    def gold(self, problem: Problem) -> str:
        """A right path and the answer, as in the traces of pre-training."""
        return make_trace(problem, TraceType.OPTIMAL, random.Random(problem.id))
