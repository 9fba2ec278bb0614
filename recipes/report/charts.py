"""Charts of the page: lines with bands, and areas on one another. matplotlib, with real text; a table beside each.

No line is told by its colour alone: each has dashes and a marker of its own.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from typing import Any

from doubleback.recipes.report.blocks import Chart, Table
from doubleback.recipes.report.svg import FRAME, GRID, SERIES, TEXT, part_of_the_page
from doubleback.rewards.visible import visible

SIZE = (5.6, 2.7)
"""Inches; the page scales it."""
MOST_POINTS, MOST_ROWS, MOST_LINES = 240, 40, 6
LEGEND_WIDTH, SYMBOL, LONGEST_LABEL = 74, 9, 40
"""Of the legend, of what stands before a label, and of a label, in characters."""
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
    """What the vertical one is of, with its unit."""
    limits: tuple[float | None, float | None] = (None, None)
    is_log: bool = False
    is_log2: bool = False
    """Of the horizontal one."""
    form: str = "{:.3f}"
    """Of a figure in the table."""


Paint = Callable[[Any, Line, int], None]
"""Called with matplotlib's axes, a line, and which of the chart's it is."""


def line_chart(title: str, lines: Sequence[Line], axes: Axes) -> Chart | None:
    """The lines that have a value, each with its own marker and dashes; None where none has."""
    return _chart(title, lines, axes, _paint_line)


def area_chart(title: str, lines: Sequence[Line], axes: Axes) -> Chart | None:
    """The lines on one another, each a part of the whole; None where none has a value. All are at the same steps."""
    return _chart(title, lines, axes, _painted_on())


def _chart(title: str, lines: Sequence[Line], axes: Axes, paint: Paint) -> Chart | None:
    known = [line for line in lines if any(map(math.isfinite, line.values))]
    if not known:
        return None
    drawn = known[:MOST_LINES]
    more = f"the first {MOST_LINES} of {len(known)}, the table has all" if len(drawn) < len(known) else ""
    labels = [line.label for line in drawn]
    named = labels if [label.casefold() for label in labels] != [title.casefold()] else []
    with _drawing(axes, named) as (axis, out):
        for number, line in enumerate(drawn):
            paint(axis, _thinned(line, MOST_POINTS), number)
        _limit(axis, axes)
    of = "; ".join(filter(None, (axes.of, more)))
    return Chart(title, of, part_of_the_page(out.getvalue(), title), _in_words(known, axes), _table(known, axes))


def _paint_line(axis: Any, line: Line, number: int) -> None:
    is_log = axis.get_yscale() == "log"  # which has no place for 0
    axis.plot(
        line.at, [math.nan if is_log and value <= 0 else value for value in line.values], lw=1.6, **_style(line, number)
    )
    if line.low:
        axis.fill_between(line.at, line.low, line.high, color=SERIES[number], alpha=0.16, lw=0)


def _painted_on() -> Paint:
    """What paints each line on those before."""
    bottom: list[float] = []

    def paint(axis: Any, line: Line, number: int) -> None:
        heights = [value if math.isfinite(value) else 0.0 for value in line.values]
        low = bottom or [0.0] * len(heights)
        top = [start + height for start, height in zip(low, heights, strict=True)]
        axis.fill_between(line.at, low, top, color=SERIES[number], alpha=0.3, lw=0)
        axis.plot(line.at, top, lw=1.2, **_style(line, number))
        bottom[:] = top

    return paint


def _style(line: Line, number: int) -> dict[str, Any]:
    every = max(1, len(line.at) // 12)
    return {"color": SERIES[number], "ls": DASHES[number], "marker": MARKERS[number], "ms": 3.4, "markevery": every}


@contextmanager
def _drawing(axes: Axes, labels: Sequence[str]) -> Iterator[tuple[Any, StringIO]]:
    """Axes to draw on, the legend above where there are labels; at the end of the block the stream holds the SVG."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, NullLocator

    out, shown = StringIO(), [visible(shortened_to(label, LONGEST_LABEL)) for label in labels]
    columns = _columns(shown)
    rows = math.ceil(len(shown) / columns)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "report", "font.size": 9}):
        figure = Figure(figsize=SIZE)
        axis = figure.add_axes((0.105, 0.155, 0.875, 0.81 - 0.075 * rows))
        axis.patch.set_visible(False)
        axis.set_yscale("log" if axes.is_log else "linear")
        yield axis, out
        if axes.is_log:
            _tick_decades(axis)
        axis.set_xlabel(visible(axes.over), color=TEXT, parse_math=False, labelpad=2)
        if axes.is_log2:
            axis.set_xscale("log", base=2)
            axis.xaxis.set_major_formatter("{x:g}")
            axis.xaxis.set_minor_locator(NullLocator())
        else:
            axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axis.margins(x=0.02)
        axis.grid(color=GRID, lw=0.6)
        axis.set_axisbelow(True)
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)
        axis.spines["bottom"].set_color(FRAME)
        axis.tick_params(colors=TEXT, length=0, which="both")
        if rows:
            _legend(axis, shown, columns)
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})


def _tick_decades(axis: Any) -> None:
    """Decades alone where there are several, and what is between them where there is hardly one."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axis.get_ylim()
    decades = math.log10(high / low)
    subs = range(1, 10) if decades < 1 else (1, 2, 5) if decades < 2 else (1,)
    axis.yaxis.set_major_locator(LogLocator(subs=subs, numticks=7))
    # What lies within a decade may differ in the second digit alone.
    form = "{:.1e}" if decades < 1 else "{:.0e}"
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: form.format(value)))
    axis.yaxis.set_minor_locator(NullLocator())


def _limit(axis: Any, axes: Axes) -> None:
    low, high = axes.limits
    if low is not None:
        axis.set_ylim(low, high if high is not None else axis.dataLim.y1 * 1.06 or 1)


def _legend(axis: Any, labels: Sequence[str], columns: int) -> None:
    place = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0), "ncols": columns, "handles": axis.get_lines()}
    style = {"frameon": False, "fontsize": 8, "handlelength": 2.6, "columnspacing": 1.4, "borderaxespad": 0.1}
    for text in axis.legend(labels=labels, **place, **style).get_texts():
        text.set_parse_math(False)  # a dollar sign in a name is a dollar sign
        text.set_color(TEXT)


def _columns(labels: Sequence[str]) -> int:
    """As many columns of the legend as fit; it fills them one after the other."""
    for columns in range(len(labels), 1, -1):
        rows, longer = divmod(len(labels), columns)  # the first columns have one more
        starts = [number * rows + min(number, longer) for number in range(columns + 1)]
        widths = [max(map(len, labels[start:end])) for start, end in pairwise(starts)]
        if sum(widths) + SYMBOL * columns <= LEGEND_WIDTH:
            return columns
    return 1


def shortened_to(text: str, most: int) -> str:
    """The text, cut where it is longer than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


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


def _table(lines: Sequence[Line], axes: Axes) -> Table:
    cells = [dict(zip(line.at, _cells(line, axes.form), strict=True)) for line in lines]
    places = sorted({at for line in lines for at in line.at})
    kept = spread(len(places), MOST_ROWS)
    rows = [(f"{places[at]:g}", *(of.get(places[at], NOT_MEASURED) for of in cells)) for at in kept]
    note = f"{len(kept)} of {len(places)} {axes.over}s; the run's files have all." if len(kept) < len(places) else ""
    return Table(
        f"Figures, {axes.of}" if axes.of else "Figures", (axes.over, *(line.label for line in lines)), rows, note=note
    )


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
