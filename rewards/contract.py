"""The contract of a reward function, and the one place that calls it.

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
import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from itertools import groupby
from types import SimpleNamespace
from typing import Any, SupportsFloat

from doubleback.rewards.extract import Messages, completion_text
from doubleback.rewards.types import UNUSABLE, Score, Verdict

Results = list[Score | None]
"""One per completion; None where the reward does not apply."""
GIVEN = frozenset({"prompts", "completions", "prompt", "completion", "trainer_state", "log_metric", "log_extra"})
"""Parameters that every call fills. Any other without a default is a column that the data must have."""


class Scope(StrEnum):
    """How much of a step a reward must see at once."""

    SAMPLE = "sample"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class Samples:
    """What a reward is given: parallel sequences, one entry per completion of one problem."""

    prompts: tuple[str, ...]
    completions: tuple[str, ...]
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Dataset columns, and `completion_ids` where the tokens are known."""

    def row(self, index: int) -> "Samples":
        """One completion by itself."""
        columns = {name: [values[index]] for name, values in self.columns.items()}
        return Samples((self.prompts[index],), (self.completions[index],), columns)


class ScoreFunction:
    """A decorated function: `scores` gives Scores, a call gives TRL's floats. Made by `per_sample` and `per_group`."""

    def __init__(self, function: Callable[..., Any], scope: Scope) -> None:
        self.function, self.scope = function, scope
        self.parameters = inspect.signature(function).parameters
        original = function.func if isinstance(function, partial) else function
        self.__name__, self.__doc__, self.__module__ = original.__name__, original.__doc__, original.__module__

    def bind(self, arguments: Mapping[str, Any]) -> "ScoreFunction":
        """The same with some parameters set, for every call."""
        return type(self)(partial(self.function, **arguments), self.scope)

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
        return [value_of(item) for item in await self.scores(completions, prompts, **columns)]


def per_sample(function: Callable[..., Any]) -> ScoreFunction:
    """Decorate `f(completion, prompt, <columns>) -> Score | number | None`, which sees one completion at a time."""
    return _decorate(function, Scope.SAMPLE)


def per_group(function: Callable[..., Any]) -> ScoreFunction:
    """Decorate `f(completions, prompts, <columns>) -> list`, which sees all completions of one problem at once."""
    return _decorate(function, Scope.GROUP)


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


def call_now(function: Any, samples: Samples, *, is_messages: bool = False, step: int = 0) -> Results:
    """`call` for a function that is not async, from any thread, inside a running event loop too."""
    target = getattr(function, "scores", None) or function
    if inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(type(target).__call__):
        raise ValueError(f"{getattr(function, '__name__', function)} is async; await `call` instead")
    coroutine: Coroutine[Any, Any, Results] = call(function, samples, is_messages=is_messages, step=step)
    try:
        coroutine.send(None)  # nothing to wait for: it runs to its end
    except StopIteration as finished:
        results: Results = finished.value
        return results
    coroutine.close()
    raise ValueError(f"{function} returned something to be awaited; await `call` instead")


async def call(function: Any, samples: Samples, *, is_messages: bool, step: int = 0) -> Results:
    """Call a reward in either form and check what it returns: what cannot be used becomes a GRADER_ERROR that says why.

    What the function raises, it raises here too; `failure` makes a verdict of that. With `is_messages` it gets prompts
    and completions as chat messages, as TRL gives them for conversational data. `log_metric` and `log_extra`, which TRL
    offers to reward functions, land in the parts and the detail.
    """
    log = _Log()
    arguments: dict[str, Any] = {
        "prompts": [_messages("user", text) if is_messages else text for text in samples.prompts],
        "completions": [_messages("assistant", text) if is_messages else text for text in samples.completions],
        **samples.columns,
    }
    target = getattr(function, "scores", None) or function
    if target is function:
        arguments |= {"trainer_state": SimpleNamespace(global_step=step), "log_metric": log.metric}
        arguments |= {"log_extra": log.extra}
    returned = target(**accepted(target, arguments))
    if inspect.isawaitable(returned):
        returned = await returned
    size = len(samples.completions)
    if not isinstance(returned, Sequence) or isinstance(returned, str):
        returned = list(returned) if hasattr(returned, "__iter__") and not isinstance(returned, str) else [returned]
    if len(returned) != size:
        return failed(size, f"returned {len(returned)} values for {size} completions")
    return [log.added(row, as_score(item)) for row, item in enumerate(returned)]


def failed(size: int, detail: str, verdict: Verdict = Verdict.GRADER_ERROR) -> Results:
    """The same fault of the reward for every completion of a call."""
    return [Score(None, verdict, detail=detail)] * size


def failure(error: BaseException, size: int) -> Results:
    """The verdict where a call raised."""
    return failed(size, f"raised {type(error).__name__}: {' '.join(str(error).split())[:200]}")


def as_score(item: Any) -> Score | None:
    """A returned item as a checked Score. A plain number counts as correct from 1 on; None does not apply."""
    if item is None:
        return None
    if isinstance(item, Score):
        return _checked(item)
    try:
        value = float(_number(item))
    except (TypeError, ValueError, OverflowError):
        return Score(None, Verdict.GRADER_ERROR, detail=f"returned {_shown(item)}, not a number")
    return _checked(Score(value, Verdict.CORRECT if value >= 1 else Verdict.WRONG))


def accepted(function: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that the function can take."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
        return arguments
    names = {parameter.name for parameter in parameters}
    return {name: value for name, value in arguments.items() if name in names}


def _number(item: Any) -> SupportsFloat:
    if isinstance(item, str | bytes):
        raise TypeError
    number: SupportsFloat = item
    return number


def _checked(score: Score) -> Score:
    score = replace(
        score,
        verdict=Verdict(score.verdict),
        extracted=None if score.extracted is None else str(score.extracted),
        parts={str(name): float(value) for name, value in score.parts.items()},
    )
    if score.verdict in UNUSABLE:
        return replace(score, value=None)
    if score.value is None or not math.isfinite(score.value):
        return replace(score, value=None, verdict=Verdict.GRADER_ERROR, detail=f"returned {score.value}")
    return replace(score, value=float(score.value))


def _messages(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def _shown(item: Any) -> str:
    text = repr(item)
    return text if len(text) <= 60 else f"{text[:60]}..."


class _Log:
    """What TRL's `log_metric` and `log_extra` are called with, kept beside the scores."""

    def __init__(self) -> None:
        self._parts: dict[str, float] = {}
        self._columns: dict[str, Sequence[Any]] = {}

    def metric(self, name: str, value: float) -> None:
        self._parts[name] = float(value)

    def extra(self, column: str, values: Sequence[Any]) -> None:
        self._columns[column] = values

    def added(self, row: int, score: Score | None) -> Score | None:
        if score is None or not (self._parts or self._columns):
            return score
        notes = [f"{name}={_shown(values[row])}" for name, values in self._columns.items() if row < len(values)]
        return replace(
            score, parts={**score.parts, **self._parts}, detail="; ".join(filter(None, [score.detail, *notes]))
        )
