"""An exact measure of a completion, as a task brings it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Measure:
    """A number of a completion that follows from the problem and the text alone.

    `Measure("steps shown", ("chain",), share_of_steps)` is asked of every sample whose problem has a column `chain`.
    """

    label: str
    """What tables call it."""
    columns: tuple[str, ...]
    """Columns of the problem that it reads; where one is absent, it does not apply."""
    of: Callable[[Mapping[str, Any], str], float]
    """(columns of the problem, text of the completion) -> its value; NaN where that is undefined."""
    by_verdict: bool = False
    """A count rather than a share: given for right and wrong completions apart, and not at each step of training."""
