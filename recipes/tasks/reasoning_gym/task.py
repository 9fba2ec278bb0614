"""Problems of the package reasoning-gym: its generators alone, in a process of their own, and none of its scorers.

Item i of a data set depends on seed + i, so that two sets with near seeds share items: a problem's split therefore
depends on its question's text alone.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from doubleback.recipes.tasks.reasoning_gym.generation import Item, Wanted, generate
from doubleback.recipes.tasks.reasoning_gym.names import require_supported
from doubleback.recipes.tasks.task import Splits, Task, split_of
from doubleback.rewards.settings import Seconds
from doubleback.rewards.types import ConfigError, Problem

LONGEST_ANSWER = 60
"""Characters of an answer that is short."""
NOT_SHORT, TWICE = "having no short answer of one line", "asking the same as one before"


class ReasoningGym(Task):
    """Problems that reasoning-gym generates, of those of its data sets that have one short answer (doubleback[gym])."""

    dataset: str
    """Name of the data set, as reasoning-gym has it: gcd, chain_sum, leg_counting ..."""
    size: Annotated[int, Field(ge=10, le=100_000)] = 500
    """Items that are generated, of each level. Eight of ten are for training, one for validation, one for the test."""
    seed: int = 0
    """Of the items; item i depends on the sum of both."""
    levels: list[Annotated[int, Field(ge=0, le=100)]] = Field(default=[])
    """Levels of the data set's own curriculum, easy ones first, each with `size` items; `problems.level: level` climbs
    them. None: the data set's defaults."""
    config: Mapping[str, Any] = Field(default={})
    """Fields of the data set's own configuration, over those of a level: {max_numbers: 3}."""
    timeout_seconds: Seconds = 120.0
    """How long the generating process may take."""
    prompt: str = "r1_zero"
    """As for every task. The gold answers in tags, as this prompt asks."""

    @model_validator(mode="after")
    def _can_be_had(self) -> Self:
        if reserved := {"seed", "size"} & set(self.config):
            raise ValueError(f"task.config has {' and '.join(sorted(reserved))}; write task.{min(reserved)} instead")
        if len(set(self.levels)) < len(self.levels):
            raise ValueError(f"task.levels={self.levels} names a level twice; write it once")
        try:
            require_supported(self.dataset)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self

    def splits(self) -> Splits:
        """The items with one short answer, each question once. ConfigError where a split has none."""
        wanted = Wanted(self.dataset, self.size, self.seed, self.config, self.levels)
        found: dict[str, list[Problem]] = {"train": [], "validation": [], "test": []}
        skipped: dict[str, list[str]] = {}
        seen: set[str] = set()
        for index, item in enumerate(generate(wanted, self.timeout_seconds)):
            because = NOT_SHORT if not _is_short(item.answer) else TWICE if item.question in seen else None
            if because is not None:
                skipped.setdefault(because, []).append(f"item {index} of {self.dataset}")
                continue
            seen.add(item.question)
            found[split_of(item.question)].append(self._problem(item))
        if empty := [name for name, problems in found.items() if not problems]:
            left, num_left_out = " and ".join(empty), sum(map(len, skipped.values()))
            raise ConfigError(
                f"task.size={self.size}: of {self.dataset} no problem is left for {left}, and {num_left_out} are left "
                f"out; raise it"
            )
        return Splits(found["train"], found["validation"], found["test"], skipped)

    def gold(self, problem: Problem) -> str:
        """The answer that came with the question; nobody says how it is found."""
        return f"<think> </think> <answer> {problem.columns['answer']} </answer>"

    def _problem(self, item: Item) -> Problem:
        digest = hashlib.sha256(item.question.encode()).hexdigest()[:16]
        columns = {"question": item.question, "answer": item.answer.strip(), "level": item.level}
        return Problem(f"reasoning_gym:{self.dataset}:{digest}", item.question, columns)


def _is_short(answer: str) -> bool:
    stripped = answer.strip()
    return 0 < len(stripped) <= LONGEST_ANSWER and len(stripped.splitlines()) == 1
