"""The stages of a road side by side: on the same test problems, and what each cost. In the terminal and as Markdown."""

import math
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from doubleback.eval.show.console import Console
from doubleback.eval.show.tables import cell, labels, measured_rows
from doubleback.eval.summarise import UNDEFINED
from doubleback.recipes.commands.stages.result import StageResult, Summary, results
from doubleback.recipes.recipe.stages.road import BASE, Road
from doubleback.rl.run.files import write_atomically

MARKDOWN = "stages.md"
"""Both tables, in the folder of the road."""
COSTS = ("stage", "kind", "from", "steps", "seconds", "of which steps", "tokens sampled")
Rows = list[list[str]]
"""The head, then a row each."""


def show_stages(road: Road, out: Path, console: Console) -> None:
    """Print both tables."""
    for title, rows in titled_tables(results(road, out)):
        table = Table(*rows[0], title=title, title_justify="left")
        for column in table.columns[1:]:
            column.justify = "right"
        for row in rows[1:]:
            table.add_row(*row)
        console.print(table)


def write_stages(road: Road, out: Path) -> None:
    """Write both tables as Markdown."""
    pages = [f"{title}\n\n{_markdown(rows)}" for title, rows in titled_tables(results(road, out))]
    write_atomically(out / MARKDOWN, "\n".join(pages).encode())


def figures(found: Sequence[StageResult]) -> Rows:
    """Each stage on the test problems, and before the first that starts from a base that base: value and interval.

    pass@1, the measure that tells most of the task, tokens and format. Stages that are not finished, or measure
    nothing, are left out; one with other test problems than the first has dashes.
    """
    measured = _measured(found)
    summaries = [summary for _, summary in measured]
    telling = list(labels(summaries[0]).values())[: len(summaries[0]["measures"])][:1]
    columns = {label: (estimates, digits) for label, estimates, digits in measured_rows(summaries, [1])}
    shown = [label for label in ("pass@1", *telling, "mean tokens", "format kept", "not judged") if label in columns]
    body = [
        [name, *(cell(columns[label][0][index], columns[label][1]) for label in shown)]
        for index, (name, _) in enumerate(measured)
    ]
    return [["stage", *shown], *body]


def costs(found: Sequence[StageResult]) -> Rows:
    """What each stage cost: wall-clock, that of its steps alone, and the tokens that were sampled to learn from."""
    rows = [list(COSTS)]
    for it in found:
        of_all = f"{it.step} of {it.stage.recipe.steps}" if it.is_begun and it.stage.recipe.steps else "-"
        numbers = [_number(value) for value in (it.seconds, it.step_seconds, it.sampled_tokens)]
        rows.append([it.stage.name, it.stage.recipe.kind, it.start, of_all, *numbers])
    begun = [it for it in found if it.is_begun]
    totals = [sum(getattr(it, name) for it in begun) for name in ("seconds", "step_seconds", "sampled_tokens")]
    return [*rows, ["all", "", "", "", *map(_number, totals)]]


def titled_tables(found: Sequence[StageResult]) -> list[tuple[str, Rows]]:
    """Both tables with their titles; that of the costs alone while no stage is measured."""
    tables = [("what each stage cost", costs(found))]
    if measured := _measured(found):
        first = measured[0][1]
        asked = f"{first['num_problems']} problems x {first['n']} samples"
        tables.insert(0, (f"test: {asked}, 95 % intervals over problems", figures(found)))
    return tables


def _measured(found: Sequence[StageResult]) -> list[tuple[str, Summary]]:
    """(name, summary) of each base before the first stage that starts from it, and of each stage."""
    rows, bases = list[tuple[str, Summary]](), list[str]()
    problems = next((it.after[0][0] for it in found if it.after), frozenset[str]())
    for it in found:
        base = it.stage.recipe.model.path
        if it.stage.start == BASE and it.before is not None and base not in bases:
            rows.append((f"{BASE} of {it.stage.name}" if bases else BASE, it.before))
            bases.append(base)
        if it.after:
            rows.append((it.stage.name, it.on(problems) or _unlike(it.after[0][1])))
    return rows


def _unlike(summary: Summary) -> Summary:
    """The summary without any figure."""
    return {**summary, "pass_at_k": {}, "measures": {}, **dict.fromkeys(("format_rate", "mean_tokens"), UNDEFINED)}


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.0f}"


def _markdown(rows: Rows) -> str:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
