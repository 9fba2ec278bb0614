"""An exact measure of a completion, as a task brings it."""

from collections.abc import Callable, Mapping
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
        return all(_is_of(kind, columns.get(name)) for name, kind in self.columns.items())


def _is_of(kind: Any, value: Any) -> bool:
    try:
        _adapter(kind).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
