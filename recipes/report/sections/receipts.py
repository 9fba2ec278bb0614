"""The receipts: after every push, whether the adapter had arrived, and how far it had moved the policy."""

from collections.abc import Mapping, Sequence
from typing import Any

from doubleback.recipes.report.blocks import Block, Cell, Charts, Section, Strip
from doubleback.recipes.report.charts import Axes
from doubleback.recipes.report.content import RunContent, is_kept, metric_charts

MOST_CELLS = 150
DISTANCES = {"sync/max_abs": "largest difference", "sync/bound": "bound", "sync/moved": "moved by the step"}
NONE = "the run has no receipt yet, or its trainer writes none."


def receipts(runs: Sequence[RunContent]) -> Section:
    """A strip with a cell a push, and the distances on the canary tokens."""
    blocks: list[Block] = [_strip(run, len(runs) > 1) for run in runs if _pushed(run)]
    axes = Axes(of="nats on the canary tokens", is_log=True, form="{:.2e}")
    shown = {name: label for name, label in DISTANCES.items() if len(runs) == 1 or name != "sync/bound"}
    if blocks and (charts := metric_charts(runs, "Trainer against engine", shown, axes)):
        blocks.append(Charts(charts))
    return Section("receipts", "Receipts", blocks, "" if blocks else NONE)


def _pushed(run: RunContent) -> list[Mapping[str, Any]]:
    return [line for line in run.lines if "sync/max_abs" in line and not is_kept(line)]


def _strip(run: RunContent, is_named: bool) -> Strip:
    lines = _pushed(run)
    every = [_cell(line) for line in lines]
    cells = _telling(every)
    known = [line for line in lines if line["sync/max_abs"] is not None]
    worst = max(known, key=lambda line: float(line["sync/max_abs"]), default=None)
    name = f"{run.label}: " if is_named else ""
    said = f"{name}{len(known)} of {len(lines)} pushes are proven"
    if worst is not None:
        said += (
            f"; the largest difference on a canary token is {worst['sync/max_abs']:.1e} nats, at step {worst['step']}"
        )
    some = f" A cell for {len(cells)} of them, what is not fine first of all." if len(cells) < len(lines) else ""
    return Strip(f"{said}.{some}", cells)


def _telling(cells: Sequence[Cell]) -> list[Cell]:
    """At most MOST_CELLS, in their order: of those that are not fine as many as there is room for, then the others."""
    kept = list[int]()
    for is_fine in (False, True):
        places = [place for place, cell in enumerate(cells) if (cell.level == "fine") == is_fine]
        if room := min(len(places), MOST_CELLS - len(kept)):
            kept += [places[position * len(places) // room] for position in range(room)]
    return [cells[place] for place in sorted(kept)]


def _cell(line: Mapping[str, Any]) -> Cell:
    distance, bound, step = line["sync/max_abs"], line.get("sync/bound"), line["step"]
    if distance is None:
        return Cell("wrong", "x", f"step {step}: not measured")
    said = f"step {step}: {distance:.1e} nats at most"
    if bound is None or distance <= bound:
        return Cell("fine", "+", said)
    return Cell("look", "~", f"{said}, beyond the bound of {bound:.1e} on single tokens")
