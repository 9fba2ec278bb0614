"""The commands that look at a run."""

from pathlib import Path
from typing import Annotated

import typer

from doubleback.eval.show.console import Console
from doubleback.recipes.commands.cli import options
from doubleback.rewards.types import ConfigError

console = Console()


def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    step: Annotated[int | None, typer.Option(min=1, help="Show the best and worst samples of this step.")] = None,
    trust: options.Trust = False,
) -> None:
    """Say how a run stands, be it live, stopped or finished: figures, curve, samples, and what to do next."""
    from doubleback.rl.run.names import is_road

    if is_road(run) and step is None:
        from doubleback.recipes.commands.stages.show import show_road

        show_road(run, console)
        return
    from doubleback.recipes.commands.show import show_run, show_step

    if step is None:
        show_run(run, console)
    else:
        show_step(run, step, console)


def verify(run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")]) -> None:
    """Check that a run's folder holds what the run wrote: checkpoints, metrics, samples, evaluations."""
    from doubleback.recipes.commands.verify import show_verified

    show_verified(run, console)


def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN|EVAL ...", help="A run or evaluation, or several.")],
    out: Annotated[Path | None, typer.Option(help="The file. Default: report.html in the folder.")] = None,
    trust: options.Trust = False,
) -> None:
    """Write one HTML file that shows a run, several side by side, an evaluation or a pair: it opens from disk."""
    from doubleback.recipes.commands.reports.on_demand import report as write_report

    write_report(folders, out, console)


def export(
    folder: Annotated[Path, typer.Argument(metavar="RUN|EVAL", help="A run, or an evaluation.")],
    to: Annotated[str, typer.Option(help="inspect: logs of inspect_ai, which `inspect view` opens.")],
    out: Annotated[Path | None, typer.Option(help="A new folder. Default: inspect in the folder.")] = None,
) -> None:
    """Write every evaluation of a run, or one, in the form of another program."""
    from doubleback.recipes.publish.inspect_logs import export as write_logs
    from doubleback.rewards.settings import require_folder
    from doubleback.rl.run.names import newest_run

    if to != "inspect":
        raise ConfigError(f"--to {to}: choose inspect")
    require_folder(folder, "")
    for path in write_logs(folder, out or newest_run(folder) / "inspect"):
        console.print(f"log     {path}", soft_wrap=True)
