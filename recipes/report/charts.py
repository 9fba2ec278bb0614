"""Charts of the page: lines with bands, and areas on one another. matplotlib, with real text; a table beside each.

No line is told by its colour alone: each has dashes and a marker of its own.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import Any

from doubleback.eval.show.console import visible
from doubleback.recipes.report.blocks import Chart, Table
from doubleback.recipes.report.svg import FRAME, GRID, SERIES, TEXT, part_of_the_page

SIZE = (5.6, 2.7)
"""Inches; the page scales it."""
MOST_POINTS, MOST_ROWS, MOST_LINES = 240, 40, 6
DASHES = ("-", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.5, 1.2, 1.5)), (0, (9, 2)), (0, (3, 1.2, 1.2, 1.2, 1.2, 1.2)))
MARKERS = "osD^vP"
NOT_MEASURED = "-"


@dataclass(frozen=True, slots=True)
class Line:
    """Values over steps, or over another number."""

    label: str
    at: Sequence[float]
    values: Sequence[float]
    """NaN where nothing was measured."""
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    """The ends of the 95 % interval; none where there is no band."""


@dataclass(frozen=True, slots=True)
class Axes:
    """What the axes say, and how they run."""

    over: str = "step"
    of: str = ""
    limits: tuple[float | None, float | None] = (None, None)
    is_log: bool = False
    is_log2: bool = False
    """Of the horizontal one."""
    form: str = "{:.3f}"
    """Of a figure in the table."""


def line_chart(title: str, lines: Sequence[Line], axes: Axes) -> Chart | None:
    """The lines that have a value, each with its own marker and dashes; None where none has."""
    drawn = [line for line in lines if any(map(math.isfinite, line.values))][:MOST_LINES]
    if not drawn:
        return None
    with _drawing(axes) as (axis, out):
        for number, line in enumerate(drawn):
            _draw(axis, _thinned(line, MOST_POINTS), number)
        _limits(axis, axes)
        _legend(axis, len(drawn))
    return Chart(title, part_of_the_page(out.getvalue(), title), _in_words(drawn, axes), _table(title, drawn, axes))


def area_chart(title: str, lines: Sequence[Line], axes: Axes) -> Chart | None:
    """The lines on one another, each a part of the whole; None where none has a value. All are at the same steps."""
    drawn = [line for line in lines if any(map(math.isfinite, line.values))][:MOST_LINES]
    if not drawn:
        return None
    thinned = [_thinned(line, MOST_POINTS) for line in drawn]
    with _drawing(axes) as (axis, out):
        bottom = [0.0] * len(thinned[0].at)
        for number, line in enumerate(thinned):
            top = [
                low + (value if math.isfinite(value) else 0.0) for low, value in zip(bottom, line.values, strict=True)
            ]
            ink = SERIES[number]
            axis.fill_between(line.at, bottom, top, color=ink, alpha=0.35, lw=0)
            every = max(1, len(top) // 12)
            style = {"color": ink, "ls": DASHES[number], "marker": MARKERS[number], "markevery": every}
            axis.plot(line.at, top, lw=1.2, ms=3.2, label=visible(line.label), **style)
            bottom = top
        axis.set_ylim(bottom=0)
        _legend(axis, len(drawn))
    return Chart(title, part_of_the_page(out.getvalue(), title), _in_words(drawn, axes), _table(title, drawn, axes))


@contextmanager
def _drawing(axes: Axes) -> Iterator[tuple[Any, StringIO]]:
    """Axes to draw on; at the end of the block the stream holds the SVG."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    out = StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "report", "font.size": 9}):
        figure = Figure(figsize=SIZE)
        axis = figure.add_axes((0.11, 0.16, 0.87, 0.68))
        axis.patch.set_visible(False)
        yield axis, out
        axis.set_xlabel(visible(axes.over), color=TEXT, parse_math=False, labelpad=2)
        if axes.of:  # above the axis, where it is read without turning the head
            axis.text(0, 1.03, visible(axes.of), transform=axis.transAxes, color=TEXT, parse_math=False, fontsize=8)
        if axes.is_log2:
            axis.set_xscale("log", base=2)
            axis.xaxis.set_major_formatter("{x:g}")
        else:
            axis.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axis.grid(color=GRID, lw=0.6)
        axis.set_axisbelow(True)
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)
        axis.spines["bottom"].set_color(FRAME)
        axis.tick_params(colors=TEXT, length=0, which="both")
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})


def _draw(axis: Any, line: Line, number: int) -> None:
    ink = SERIES[number]
    every = max(1, len(line.at) // 12)
    style = {"color": ink, "ls": DASHES[number], "marker": MARKERS[number], "markevery": every}
    axis.plot(line.at, line.values, lw=1.6, ms=3.6, label=visible(line.label), **style)
    if line.low:
        axis.fill_between(line.at, line.low, line.high, color=ink, alpha=0.16, lw=0)


def _limits(axis: Any, axes: Axes) -> None:
    if axes.is_log:
        axis.set_yscale("log")
        axis.yaxis.set_minor_locator(_no_ticks())
    low, high = axes.limits
    if low is not None or high is not None:
        axis.set_ylim(low, high)
    axis.margins(x=0.02)


def _no_ticks() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()


def _legend(axis: Any, count: int) -> None:
    place = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "ncols": 3 if count > 4 else count}
    legend = axis.legend(frameon=False, fontsize=8, handlelength=2.6, columnspacing=1.2, borderaxespad=0.1, **place)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a dollar sign in a name is a dollar sign
        text.set_color(TEXT)


def _thinned(line: Line, most: int) -> Line:
    """At most so many points: the first, the last, and evenly between."""
    kept = spread(len(line.at), most)
    if len(kept) == len(line.at):
        return line
    pick = [
        [values[place] for place in kept] if values else () for values in (line.at, line.values, line.low, line.high)
    ]
    return Line(line.label, *pick)


def spread(length: int, most: int) -> list[int]:
    """At most so many of the places 0 to length - 1, the first and the last among them, evenly apart."""
    if length <= most:
        return list(range(length))
    return sorted({round(place * (length - 1) / (most - 1)) for place in range(most)})


def _table(title: str, lines: Sequence[Line], axes: Axes) -> Table:
    cells = [dict(zip(line.at, _cells(line, axes.form), strict=True)) for line in lines]
    places = sorted({at for line in lines for at in line.at})
    kept = spread(len(places), MOST_ROWS)
    rows = [(f"{places[at]:g}", *(of.get(places[at], NOT_MEASURED) for of in cells)) for at in kept]
    note = f"{len(kept)} of {len(places)} {axes.over}s; the run's files have all." if len(kept) < len(places) else ""
    return Table(title, (axes.over, *(line.label for line in lines)), rows, note=note)


def _cells(line: Line, form: str) -> Iterator[str]:
    for place, value in enumerate(line.values):
        if not math.isfinite(value):
            yield NOT_MEASURED
        elif line.low and math.isfinite(line.low[place]):
            yield f"{form.format(value)} [{form.format(line.low[place])}, {form.format(line.high[place])}]"
        else:
            yield form.format(value)


def _in_words(lines: Sequence[Line], axes: Axes) -> str:
    """From where to where each line goes."""
    said = []
    for line in lines:
        known = [(at, value) for at, value in zip(line.at, line.values, strict=True) if math.isfinite(value)]
        (first_at, first), (last_at, last) = known[0], known[-1]
        if len(known) == 1:
            said.append(f"{line.label}: {axes.form.format(first)} at {axes.over} {first_at:g}")
        else:
            ends = f"{axes.form.format(first)} at {axes.over} {first_at:g} to {axes.form.format(last)} at {last_at:g}"
            said.append(f"{line.label}: {ends}")
    return "; ".join(said)


def estimates_line(label: str, at: Sequence[float], estimates: Sequence[Mapping[str, float | None]]) -> Line:
    """A line with its band, of estimates as an evaluation's summary has them."""

    def end(key: str) -> list[float]:
        return [math.nan if (value := item[key]) is None else float(value) for item in estimates]

    return Line(label, at, end("value"), end("low"), end("high"))
