"""From reward functions to one score: load by name, call with TRL's public signature, weigh, sum.

A reward function has the signature that `trl.GRPOTrainer` calls, `f(prompts, completions, completion_ids, **columns) ->
list[float | None]`, with one value per completion and dataset columns as keyword lists. It runs unchanged in both.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from doubleback.rewards.countdown import countdown_correct, grade
from doubleback.rewards.format import think_answer_format
from doubleback.rewards.length import SoftOverlong
from doubleback.rewards.noise import random_reward
from doubleback.rewards.types import Completion, ConfigError, Problem, Score, Verdict

RewardFunction = Callable[..., list[float | None]]
Judge = Callable[[Problem, Completion], Score]

FUNCTIONS: dict[str, Any] = {
    "countdown": countdown_correct,
    "format": think_answer_format,
    "overlong": SoftOverlong,
    "random": random_reward,
}
"""Built-in reward functions by name; `overlong` is made for the recipe's token limit."""


def judge_countdown(problem: Problem, completion: Completion) -> Score:
    """Verdict on a countdown completion, by exact arithmetic."""
    return grade(completion.text, problem.columns["numbers"], problem.columns["target"])


JUDGES: dict[str, Judge] = {"countdown": judge_countdown}
"""Who gives the verdict, by name: the metric of evaluation, whatever the weights of the reward are."""


class RewardConfig(BaseModel):
    """The reward section of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, strict=True)

    judge: str = "countdown"
    """Who decides correct or wrong."""
    overlong_buffer: int = 32
    """Last tokens before sampling.max_tokens, over which the reward `overlong` falls from 0 to -1."""
    weights: Annotated[dict[str, float], Field(min_length=1)] = {"countdown": 1.0, "format": 0.1}
    """Reward function -> weight; the reward is the weighted sum. Weight 0: measured, not rewarded."""


@dataclass(frozen=True, slots=True)
class WeightedReward:
    """Scores a group: value = sum of weight * component, verdict from the judge."""

    judge: Judge
    components: tuple[tuple[str, RewardFunction, float], ...]
    """(name, function, weight)"""

    def __call__(self, problem: Problem, completions: Sequence[Completion]) -> list[Score]:
        columns = [self._column(name, function, problem, completions) for name, function, _ in self.components]
        return [
            self._score(problem, completion, values) for completion, *values in zip(completions, *columns, strict=True)
        ]

    def _column(
        self, name: str, function: RewardFunction, problem: Problem, completions: Sequence[Completion]
    ) -> list[float | None]:
        size = len(completions)
        values = function(
            prompts=[problem.prompt] * size,
            completions=[completion.text for completion in completions],
            completion_ids=[list(completion.token_ids) for completion in completions],
            sample_seeds=[completion.seed for completion in completions],
            **{key: [value] * size for key, value in problem.columns.items()},
        )
        if len(values) != size:
            raise ConfigError(f"reward {name} returned {len(values)} values for {size} completions of {problem.id}")
        return values

    def _score(self, problem: Problem, completion: Completion, values: Sequence[float | None]) -> Score:
        judged = self.judge(problem, completion)
        if completion.is_truncated and judged.verdict in (Verdict.NO_ANSWER, Verdict.BAD_FORMAT):
            judged = replace(judged, verdict=Verdict.TRUNCATED)
        parts = {name: value for (name, _, _), value in zip(self.components, values, strict=True) if value is not None}
        if len(parts) < len(values) or not all(math.isfinite(value) for value in parts.values()):
            missing = [
                name
                for (name, _, _), value in zip(self.components, values, strict=True)
                if value is None or not math.isfinite(value)
            ]
            return replace(
                judged, value=None, verdict=Verdict.GRADER_ERROR, parts={}, detail=f"no finite value from {missing[0]}"
            )
        total = math.fsum(weight * parts[name] for name, _, weight in self.components)
        return replace(judged, value=total, parts=parts)


def load_reward(config: RewardConfig, max_tokens: int) -> WeightedReward:
    """The reward that the recipe names, for completions of up to `max_tokens`. ConfigError with the nearest name."""
    found = {name: _lookup(FUNCTIONS, name, "reward.weights") for name in config.weights}
    if "overlong" in found:
        found["overlong"] = SoftOverlong(max_tokens, config.overlong_buffer)
    components = tuple((name, found[name], weight) for name, weight in config.weights.items())
    return WeightedReward(_lookup(JUDGES, config.judge, "reward.judge"), components)


def _lookup(table: Mapping[str, Any], name: str, key: str) -> Any:
    if name not in table:
        near = get_close_matches(name, table, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(table))}"
        raise ConfigError(f"{key}: there is no {name!r}; {hint}")
    return table[name]
