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
