"""A search as the moves that it consists of, and where each stands in the completion: what a replay shows a person."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from doubleback.eval.measures.measure import fit


@dataclass(frozen=True, slots=True)
class Move:
    """One move. It belongs below the last one before it of a lower depth, and beside those of its own.

    Of "12 - 9 = 3 : 7 - 3 = 4 no back 7 + 12 = 19 :" the first and the third have depth 0, the second has 1.
    """

    start: int
    """Where it stands in the completion: its first character."""
    end: int
    """Behind its last character."""
    depth: int
    """Branches that it was made in."""
    leaves: str
    """What is open after it, in a few words: the numbers that are left, the worlds that are possible."""
    fault: str = ""
    """What is wrong with it, in a few words; nothing where it is right."""
    check: str = ""
    """What it says of itself: `yes`, `no`, or `open`; nothing where it says nothing."""
    is_check_true: bool | None = None
    """Whether that is so. None without a check."""


@dataclass(frozen=True, slots=True)
class Moves:
    """How completions of one kind of problem are replayed, as a task brings it."""

    columns: Mapping[str, Any]
    """Columns of the problem that it reads, each with its type, as those of a `Measure`."""
    of: Callable[[Mapping[str, Any], str], Sequence[Move]]
    """(columns of the problem, text of the completion) -> its moves, in the order of the text."""

    def fits(self, columns: Mapping[str, Any]) -> bool:
        """Whether every column that it reads is there and of its type."""
        return fit(self.columns, columns)
