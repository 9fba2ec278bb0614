"""The commands that look at a run."""

from pathlib import Path
from typing import Annotated

import typer

from doubleback.eval.show.console import Console

console = Console()


def verify(run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")]) -> None:
    """Check that a run's folder holds what the run wrote: checkpoints, metrics, samples, evaluations."""
    from doubleback.recipes.commands.verify import show_verified

    show_verified(run, console)


def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN|EVAL ...", help="A run or evaluation, or several.")],
    out: Annotated[Path | None, typer.Option(help="The file. Default: report.html in the folder.")] = None,
) -> None:
    """Write one HTML file that shows a run, several side by side, an evaluation or a pair: it opens from disk."""
    from doubleback.recipes.commands.reports.on_demand import report as write_report

    write_report(folders, out, console)
