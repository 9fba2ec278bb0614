"""A curve in characters, for a terminal: several series over steps, with the values at its axis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

MARKS = {True: ".o", False: "·●"}
"""Of the series in their order; for a terminal that has ASCII alone, and for any other."""
NUM_TICKS = 3


@dataclass(frozen=True, slots=True)
class Series:
    """What is drawn with one mark."""

    label: str
    points: Sequence[tuple[int, float | None]]
    """(step, value); NaN and None, which nobody measured, are left out."""

    def measured(self) -> list[tuple[int, float]]:
        """The points that have a value."""
        return [(step, value) for step, value in self.points if value is not None and math.isfinite(value)]


def curve(series: Sequence[Series], width: int = 60, height: int = 8, is_ascii: bool = False) -> list[str]:
    """Lines of characters: `height` rows of `width` columns, the steps below, the marks explained; none of no point.

    What falls into one column is averaged; where two series meet, the later one is seen.

        1.00 |          ●
        0.50 |    ●··
        0.00 |●···
             +-----------
              0        10
              · training   ● validation
    """
    measured = [it.measured() for it in series]
    steps = [step for points in measured for step, _ in points]
    values = [value for points in measured for _, value in points]
    if not values:
        return []
    (left, right), (low, high) = (min(steps), max(steps)), _range(values)
    marks = MARKS[is_ascii]
    grid = [[" "] * width for _ in range(height)]
    for mark, points in zip(marks, measured, strict=False):
        columns: dict[int, list[float]] = {}
        for step, value in points:
            columns.setdefault(_place(step, left, right, width), []).append(value)
        for column, held in columns.items():
            grid[height - 1 - _place(sum(held) / len(held), low, high, height)][column] = mark
    ticks = {round(row): high - (high - low) * row / (height - 1) for row in _evenly(height)}
    labels = [f"{ticks[row]:.3g}" if row in ticks else "" for row in range(height)]
    margin = max(map(len, labels))
    rows = [f"{label:>{margin}} |{''.join(row)}".rstrip() for label, row in zip(labels, grid, strict=True)]
    last = str(right) if right > left else ""
    scale = f"{left}{last:>{width - len(str(left))}}"
    legend = "   ".join(f"{mark} {it.label}" for mark, it in zip(marks, series, strict=False) if it.measured())
    indent = " " * (margin + 2)
    return [*rows, f"{' ' * margin} +{'-' * width}", f"{indent}{scale}".rstrip(), f"{indent}{legend}"]


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if high > low:
        return low, high
    return (low - 0.5, high + 0.5) if low else (0.0, 1.0)


def _place(value: float, low: float, high: float, size: int) -> int:
    return 0 if high <= low else round((value - low) / (high - low) * (size - 1))


def _evenly(height: int) -> list[float]:
    return [(height - 1) * tick / (NUM_TICKS - 1) for tick in range(NUM_TICKS)]
