"""An exact measure of a completion, as a task brings it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError


@dataclass(frozen=True, slots=True)
class Measure:
    """A number of a completion that follows from the problem and the text alone.

    `Measure("steps shown", {"chain": Sequence[int]}, share_of_steps)` is asked of samples whose problems have a column
    `chain` of whole numbers.
    """

    label: str
    """What tables call it."""
    columns: Mapping[str, Any]
    """Columns of the problem that it reads, each with its type; where one is absent or of another, it does not apply:
    a file of anybody's may have columns of these names."""
    of: Callable[[Mapping[str, Any], str], float]
    """(columns of the problem, text of the completion) -> its value; NaN where that is undefined."""
    by_verdict: bool = False
    """A count rather than a share: given for right and wrong completions apart, and not at each step of training."""

    def fits(self, columns: Mapping[str, Any]) -> bool:
        """Whether every column that it reads is there and of its type."""
        return fit(self.columns, columns)


@dataclass(frozen=True, slots=True)
class _Shared(Measure):
    """One name, and a measure for each kind of problem."""

    measures: Sequence[Measure] = ()

    def fits(self, columns: Mapping[str, Any]) -> bool:
        return any(measure.fits(columns) for measure in self.measures)


def shared(measures: Sequence[Measure]) -> Measure:
    """The measures that several tasks bring under one name as one: of a problem the first that fits its columns.

    Label and form are those of the first of all.
    """
    first = measures[0]

    def of(columns: Mapping[str, Any], text: str) -> float:
        return next(measure for measure in measures if measure.fits(columns)).of(columns, text)

    return _Shared(first.label, {}, of, first.by_verdict, measures) if len(measures) > 1 else first


def fit(kinds: Mapping[str, Any], columns: Mapping[str, Any]) -> bool:
    """Whether every column of `kinds` is among the columns, and of its type."""
    return all(_is_of(kind, columns.get(name)) for name, kind in kinds.items())


def _is_of(kind: Any, value: Any) -> bool:
    try:
        _adapter(kind).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
