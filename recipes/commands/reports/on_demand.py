"""`doubleback report`: the page of a run, of several, of an evaluation or of a pair, on demand."""

import os
from collections.abc import Sequence
from pathlib import Path

from doubleback.eval.show.console import Console
from doubleback.recipes.report.report import runs_report
from doubleback.rewards.settings import require_folder
from doubleback.rewards.types import ConfigError
from doubleback.rl.run.files import write_atomically

REPORT = "report.html"
"""Its name in the folder that it is of."""


def report(folders: Sequence[Path], out: Path | None, console: Console) -> None:
    """Write the page, and say where it lies. ConfigError where a folder holds neither run nor evaluation."""
    for folder in folders:
        require_folder(folder, "")
    out = out or _default(folders)
    if not os.access(out.parent, os.W_OK):
        raise ConfigError(f"{out.parent} cannot be written; say with --out FILE where the report goes")
    write_atomically(out, runs_report(folders))
    console.print(f"report  {out}", soft_wrap=True)


def _default(folders: Sequence[Path]) -> Path:
    """report.html in the folder; of several report-with-NAME.html in the last."""
    if len(folders) == 1:
        return folders[0] / REPORT
    names = "-".join(folder.absolute().name for folder in folders[:-1])
    return folders[-1] / f"report-with-{names}.html"
