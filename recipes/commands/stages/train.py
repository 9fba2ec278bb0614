"""`doubleback train`, in Python `train`: of a recipe of stages one after the other, of any other as it is."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from doubleback.eval.show.console import Console
from doubleback.recipes.commands.reports.while_training import write_at_the_end
from doubleback.recipes.commands.stages.check import require_prepared
from doubleback.recipes.commands.stages.clock import timed
from doubleback.recipes.commands.stages.giving import given
from doubleback.recipes.commands.stages.result import is_finished
from doubleback.recipes.commands.stages.saying import described, in_stage
from doubleback.recipes.commands.train import train as train_run
from doubleback.recipes.recipe.results import Run
from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.recipe.stages.resuming import require_same_road
from doubleback.recipes.recipe.stages.road import Road
from doubleback.rewards.settings import read_yaml, require_folder
from doubleback.rewards.types import ConfigError
from doubleback.rl.run.files import private_files, write_atomically
from doubleback.rl.run.journal import Observe
from doubleback.rl.run.names import RECIPE, STAGES, is_road, is_run
from doubleback.rl.run.owner import owned


def train(
    recipe: Recipe | Road,
    out: str | Path,
    *,
    resume: bool = False,
    callbacks: Sequence[Observe] = (),
    console: Console | None = None,
) -> Run:
    """Train `recipe` into the folder `out` and return the run; with `resume`, continue exactly where it stopped.

    Each callback is called with the number of a step and its metrics (docs/metrics.md) once they are on disk; step 0 is
    the measurement before training. What a callback raises ends the run, which can then be resumed. Of a recipe of
    stages every stage is a run in a folder of its own in `out`, and the last of them is returned. ConfigError where the
    recipe, its data or the machine do not fit; RunError where the run must stop.
    """
    out, console = Path(out), console or Console()
    if isinstance(recipe, Recipe):
        if is_road(out):
            raise ConfigError(f"--out {out} already holds a recipe of stages; choose another folder")
        return train_run(recipe, out, resume=resume, callbacks=callbacks, console=console)
    if resume:
        require_folder(out, "--resume --out ")
    with private_files(recipe.private), owned(out):
        _open(recipe, out, resume, console)
        for stage in recipe.stages:
            if not is_finished(out / stage.folder):
                console.print(described(recipe, stage), soft_wrap=True)
                with in_stage(stage), timed(out, stage.name):
                    whole = given(recipe, stage, out, console)
                    is_begun = is_run(out / stage.folder)
                    train_run(whole, out / stage.folder, resume=is_begun, callbacks=callbacks, console=console)
    write_at_the_end(out, console)
    return Run(out / recipe.stages[-1].folder)


def _open(road: Road, out: Path, resume: bool, console: Console) -> None:
    """The road's file in its folder. ConfigError where another is there, or where a stage could not be prepared."""
    path = out / STAGES
    if (out / RECIPE).exists() or (path.exists() and not resume):
        raise ConfigError(f"--out {out} already holds a run; continue it with --resume or choose another folder")
    if resume:
        if not path.exists():
            raise ConfigError(f"--resume: {out} holds no stages (no {STAGES}); leave --resume out to start there")
        finished = [stage.name for stage in road.stages if is_finished(out / stage.folder)]
        require_same_road(read_yaml(path, "recipe"), road, finished)
    else:
        require_prepared(road, console)
    written = yaml.safe_dump(road.as_data(), sort_keys=False, allow_unicode=True)
    write_atomically(path, written.encode())
