"""Calling a reward function in either form, and checking what it returns: the one place where that happens."""

import inspect
import math
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from traceback import walk_tb
from types import SimpleNamespace
from typing import Any, SupportsFloat

from doubleback.rewards.types import UNUSABLE, Score, Verdict

HERE = Path(__file__).parent
Results = list[Score | None]
"""One per completion; None where the reward does not apply."""


@dataclass(frozen=True, slots=True)
class Samples:
    """What a reward is given: parallel sequences, one entry per completion of one problem."""

    prompts: tuple[str, ...]
    completions: tuple[str, ...]
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Dataset columns, and what is known of each completion: `completion_ids`, `sample_seeds`, `is_truncated`."""

    def row(self, index: int) -> "Samples":
        """One completion by itself."""
        columns = {name: [values[index]] for name, values in self.columns.items()}
        return Samples((self.prompts[index],), (self.completions[index],), columns)


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
    """The verdict where a call raised, with the line of the reward in which it did."""
    place = _place(error)
    text = f"raised {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return failed(size, f"{text} ({place})" if place else text)


def _place(error: BaseException) -> str | None:
    """`path.py:12`: the last line in the reward's own file on the way to what it raised. None: it was never entered."""
    lines = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    called = [place for place, (file, _) in enumerate(lines) if Path(file).parent == HERE]
    entered = lines[called[-1] + 1 :] if called else []
    if not entered:
        return None
    file, line = [(file, line) for file, line in entered if file == entered[0][0]][-1]
    return f"{file}:{line}"


def as_score(item: Any) -> Score | None:
    """A returned item as a checked Score. A plain number counts as correct from 1 on; None does not apply."""
    if item is None:
        return None
    if isinstance(item, Score):
        return checked(item)
    try:
        value = float(_number(item))
    except (TypeError, ValueError, OverflowError):
        return Score(None, Verdict.GRADER_ERROR, detail=f"returned {_shown(item)}, not a number")
    return checked(Score(value, Verdict.CORRECT if value >= 1 else Verdict.WRONG))


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


def checked(score: Score) -> Score:
    """The score with fields of their types, a GRADER_ERROR where its value is no finite number.

    ValueError or TypeError where a field cannot be converted.
    """
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
