"""`doubleback report`: the page of a run, of several, of an evaluation or of a pair, on demand."""

import os
from collections.abc import Sequence
from pathlib import Path

from doubleback.eval.show.console import Console
from doubleback.recipes.commands.stages.result import results, stored_road
from doubleback.recipes.commands.stages.tables import titled_tables
from doubleback.recipes.report.blocks import Table
from doubleback.recipes.report.report import report_of
from doubleback.rewards.settings import require_folder
from doubleback.rewards.types import ConfigError
from doubleback.rl.run.files import write_atomically
from doubleback.rl.run.names import is_road, stage_folders

REPORT = "report.html"
"""Its name in the folder that it is of."""
LONGEST_NAMES = 160
"""Bytes that other folders take in the name of a file, which has 255 at most, while it is written too."""


def report(folders: Sequence[Path], out: Path | None, console: Console) -> None:
    """Write the page, and say where it lies. ConfigError where a folder holds neither run nor evaluation."""
    for folder in folders:
        require_folder(folder, "")
    out = out or _default(folders)
    if not os.access(out.parent, os.W_OK):
        raise ConfigError(f"{out.parent} cannot be written; say with --out FILE where the report goes")
    write(folders, out)
    console.print(f"report  {out}", soft_wrap=True)


def write(folders: Sequence[Path], out: Path, most_samples: int | None = None) -> None:
    """Write the page into the file `out`; of the folder of a recipe of stages its stages side by side.

    `most_samples`: of each step of a run; None: all that fit.
    """
    opened, tables = list[Path](), list[Table]()
    for folder in folders:
        opened += stage_folders(folder) if is_road(folder) else [folder]
        tables += _stages(folder) if is_road(folder) else []
    if not opened:
        raise ConfigError(f"{folders[0]} has no stage that has begun; there is nothing to report yet")
    of_a_road = folders[0].absolute().name if len(folders) == 1 and tables else None
    write_atomically(out, report_of(opened, tables, of_a_road, most_samples))


def _stages(folder: Path) -> list[Table]:
    """What each stage brought, and what it cost."""
    found = results(stored_road(folder), folder)
    return [Table(title.capitalize(), head, rows) for title, (head, *rows) in titled_tables(found)]


def _default(folders: Sequence[Path]) -> Path:
    """report.html in the folder; of several report-with-NAME.html in the last, with the others counted if too long."""
    if len(folders) == 1:
        return folders[0] / REPORT
    names = [folder.absolute().name for folder in folders[:-1]]
    others = "-".join(names)
    if len(others.encode()) > LONGEST_NAMES:
        others = f"{names[0].encode()[:LONGEST_NAMES].decode(errors='ignore')}-and-{len(names) - 1}-more"
    return folders[-1] / f"report-with-{others}.html"
