"""`doubleback harvest`: from samples that were judged to completions that can be imitated."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from doubleback.eval.show.console import Console
from doubleback.recipes.commands.samples.stored import what_to_score
from doubleback.recipes.recipe.imitation.harvest import Harvest, HarvestOptions, Line, counted_rows, harvest
from doubleback.rewards.checks.columns import checked_columns
from doubleback.rewards.jsonl import GZIPPED, refuse, to_lines
from doubleback.rewards.records import read_record
from doubleback.rewards.rows import Source, read_data, stem
from doubleback.rewards.types import ConfigError, RunError, shortened
from doubleback.rl.run.files import write_atomically
from doubleback.rl.run.names import COUNTS, KEPT
from doubleback.rl.run.owner import owned_output, require_new_file

KEYS = ("problem", "question", "completion", "score", "verdict", "step", "sample", "seed", "adapter_hash", "tokens")
"""What a kept row says of a sample, where that is known."""


def harvest_samples(
    path: Path, options: HarvestOptions, out: Path | None = None, force: bool = False, console: Console | None = None
) -> Harvest:
    """Write the samples of `path` that are worth imitating, and say what became of the others.

    `path` is the folder of a run (its rollouts) or of an evaluation, or a file of scored rows (`doubleback score`).
    They go to `out`, by default `NAME.harvest.jsonl` beside a file, harvest.jsonl in a folder. ConfigError for rows
    without problem, completion or verdict, and where `out` exists, unless with `force`; RunError where nothing is kept.
    """
    console = console or Console()
    files, _ = what_to_score(path)
    beside = path / "harvest.jsonl" if path.is_dir() else path.with_name(f"{stem(path)}.harvest.jsonl")
    out = out or beside
    with owned_output(out):
        require_new_file(out, force)
        found = harvest(_lines(files), options)
        if not found.lines:
            raise RunError(f"{path}: no sample is worth imitating ({found.reasons}); nothing was written")
        rows = kept_rows(found)
        write_atomically(out, to_lines(rows, is_gzipped=out.suffix == GZIPPED))
    console.print(harvest_table(counts(found)))
    console.print(f"harvest  {out}", soft_wrap=True)
    return found


def kept_rows(found: Harvest) -> list[dict[str, Any]]:
    """What a file of rows to imitate says of each sample."""
    return [{key: line[key] for key in KEYS if line.get(key) is not None} for line in found.lines]


def counts(found: Harvest) -> dict[str, Any]:
    """What became of the samples, in numbers."""
    return {
        "problems": found.num_problems,
        "kept": len(found.lines),
        "kept_problems": len({line["problem"] for line in found.lines}),
        "dropped": dict(found.dropped),
    }


def harvest_table(counted: Mapping[str, Any]) -> Table:
    """The `counts` as a table."""
    table = Table("samples", "number", title="harvest")
    for row in counted_rows(counted):
        table.add_row(*row)
    return table


def show_kept(out: Path, console: Console) -> None:
    """What a finished run of `kind: sample` kept, and how it is learned from."""
    console.print(harvest_table(read_record(out / COUNTS)))
    console.print(f"kept    {out / KEPT}", soft_wrap=True)
    console.print(f"learn   doubleback train RECIPE kind=sft demonstrations.source={out}", soft_wrap=True)


def _lines(files: Sequence[Path]) -> list[Line]:
    lines: list[Line] = []
    for file in files:
        data, bad = read_data(Source(str(file)), [("problem",), ("completion",), ("verdict",)]), []
        for row in data.rows:
            try:
                lines.append(_line(row.data))
            except ConfigError as error:
                bad.append(f"{file}:{row.number}: {error}")
        refuse([*data.bad, *bad], "; rows of other systems are graded first, with doubleback score")
    return lines


def _line(data: Mapping[str, Any]) -> Line:
    """ConfigError where a column that is read is of another type."""
    columns = checked_columns(data)
    if not isinstance(columns["completion"], str):
        raise ConfigError("completion is no text")
    parts = columns.get("parts")
    if not isinstance(parts, Mapping | None) or not isinstance((parts or {}).get("format"), int | float | None):
        raise ConfigError(f"parts={shortened(parts)} is not a number for each part of a score")
    return {**data, "problem": str(columns["problem"])}
