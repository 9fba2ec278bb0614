"""The contract of a reward function: TRL's signature, and a richer form of it.

A plain reward function has the public signature of `trl.GRPOTrainer` and runs unchanged in both:

    def f(prompts, completions, completion_ids, **columns) -> list[float | None]

with one entry per completion in every list; None says "does not apply to this one". The richer form returns a `Score`
(verdict, extracted answer, parts), or a plain number, for one completion or for one group:

    @per_sample                                          @per_group
    def f(completion: str, answer: str) -> Score: ...    def f(completions: list[str]) -> list[float]: ...

It takes the parameters it names and no others; it may be `async def`. What a decorator returns keeps TRL's signature.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial, wraps
from itertools import groupby
from typing import Any

from doubleback.rewards.answers.messages import Messages, completion_text
from doubleback.rewards.types import Score

GIVEN = frozenset({"prompts", "completions", "prompt", "completion", "trainer_state", "log_metric", "log_extra"})
"""Parameters that every call fills. Any other without a default is a column that the data must have."""


class Scope(StrEnum):
    """How much of a step a reward must see at once."""

    SAMPLE = "sample"
    GROUP = "group"


class ScoreFunction:
    """A decorated function: `scores` gives Scores, a call gives TRL's floats. Made by `per_sample` and `per_group`."""

    def __init__(self, function: Callable[..., Any], scope: Scope) -> None:
        self.function, self.scope = function, scope
        self.parameters = inspect.signature(function).parameters
        self.__name__, self.__doc__, self.__module__ = function.__name__, function.__doc__, function.__module__

    def bind(self, arguments: Mapping[str, Any]) -> "ScoreFunction":
        """The same with some parameters set, for every call."""
        return type(self)(with_arguments(self.function, arguments), self.scope)

    def scores(
        self, completions: Sequence[Messages], prompts: Sequence[Any] | None = None, **columns: Any
    ) -> list[Any]:
        """What the function says, one entry per completion."""
        calls = self._calls(completions, prompts, columns)
        values = [self.function(**arguments) for arguments in calls]
        return values if self.scope == Scope.SAMPLE else [value for group in values for value in group]

    def __call__(
        self, completions: Sequence[Messages], prompts: Sequence[Any] | None = None, **columns: Any
    ) -> list[float | None] | Awaitable[list[float | None]]:
        """A number or None per completion, by TRL's signature; to be awaited where the function is async."""
        return [value_of(item) for item in self.scores(completions, prompts, **columns)]

    def _calls(
        self, completions: Sequence[Messages], prompts: Sequence[Any] | None, columns: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """The arguments of each call: a completion at a time, or a run of completions of equal prompts."""
        texts = [completion_text(completion) for completion in completions]
        prompts = [""] * len(texts) if prompts is None else prompts
        rows = range(len(texts))
        per_row = {name: values for name, values in columns.items() if _is_per_row(values, len(texts))}
        if self.scope == Scope.SAMPLE:
            singles = [
                {"prompt": prompts[row], "completion": texts[row], **{k: v[row] for k, v in per_row.items()}}
                for row in rows
            ]
            return [self._wanted(single) for single in singles]
        groups = [list(group) for _, group in groupby(rows, key=lambda row: prompts[row])]
        return [
            self._wanted(
                {
                    "prompts": [prompts[row] for row in group],
                    "completions": [texts[row] for row in group],
                    **{name: [values[row] for row in group] for name, values in per_row.items()},
                }
            )
            for group in groups
        ]

    def _wanted(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if any(parameter.kind == parameter.VAR_KEYWORD for parameter in self.parameters.values()):
            return arguments
        return {name: value for name, value in arguments.items() if name in self.parameters}


class AsyncScoreFunction(ScoreFunction):
    """The same for `async def`: all calls of a batch run at once; TRL awaits the call too."""

    async def scores(  # type: ignore[override]
        self, completions: Sequence[Messages], prompts: Sequence[Any] | None = None, **columns: Any
    ) -> list[Any]:
        """What the function says, one entry per completion."""
        calls = self._calls(completions, prompts, columns)
        values = await asyncio.gather(*(self.function(**arguments) for arguments in calls))
        return values if self.scope == Scope.SAMPLE else [value for group in values for value in group]

    async def __call__(
        self, completions: Sequence[Messages], prompts: Sequence[Any] | None = None, **columns: Any
    ) -> list[float | None]:
        """A number or None per completion, by TRL's signature."""
        return [value_of(item) for item in await self.scores(completions, prompts, **columns)]


def per_sample(function: Callable[..., Any]) -> ScoreFunction:
    """Decorate `f(completion, prompt, <columns>) -> Score | number | None`, which sees one completion at a time."""
    return _decorate(function, Scope.SAMPLE)


def per_group(function: Callable[..., Any]) -> ScoreFunction:
    """Decorate `f(completions, prompts, <columns>) -> list`, which sees all completions of one problem at once."""
    return _decorate(function, Scope.GROUP)


def with_arguments(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Callable[..., Any]:
    """The function with some of its parameters set, columns of the same name notwithstanding."""

    @wraps(function)
    def bound(**columns: Any) -> Any:
        return function(**{**columns, **arguments})

    bound.__signature__ = inspect.signature(partial(function, **arguments))  # type: ignore[attr-defined]
    return bound


def _decorate(function: Callable[..., Any], scope: Scope) -> ScoreFunction:
    return (AsyncScoreFunction if inspect.iscoroutinefunction(function) else ScoreFunction)(function, scope)


def _is_per_row(values: Any, size: int) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str) and len(values) == size


def value_of(item: Any) -> float | None:
    """A returned item as TRL's float: a Score by its value."""
    item = item.value if isinstance(item, Score) else item
    return None if item is None else float(item)


def scope_of(function: Any) -> Scope:
    """What the function asks for; a plain one is called with one completion at a time."""
    return Scope(getattr(function, "scope", Scope.SAMPLE))


def required_columns(function: Any) -> tuple[str, ...]:
    """The dataset columns without which the function cannot be called."""
    if hasattr(function, "required_columns"):
        return tuple(function.required_columns)
    target = function.function if isinstance(function, ScoreFunction) else function
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return tuple(
        parameter.name
        for parameter in inspect.signature(target).parameters.values()
        if parameter.kind not in kinds and parameter.default is parameter.empty and parameter.name not in GIVEN
    )
