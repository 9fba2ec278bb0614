"""What a stage is given by earlier ones when its turn comes: a row for each key of `recipes.recipe.stages.taken`."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from doubleback.eval.show.console import Console
from doubleback.recipes.commands.samples.harvest import harvest_samples
from doubleback.recipes.recipe.imitation.harvest import HarvestOptions
from doubleback.recipes.recipe.schema import TINY_FOLDER, Recipe
from doubleback.recipes.recipe.stages.road import TRAINS_NOTHING, Road, Stage
from doubleback.recipes.recipe.stages.taken import with_value
from doubleback.rewards.settings import read_yaml
from doubleback.rl.run.files import whole_folder
from doubleback.rl.run.names import RECIPE, is_run

DEMONSTRATIONS = "demonstrations.jsonl"
"""In the folder of a stage that imitates: what was harvested of an earlier one."""
Give = Callable[[Stage, Path, Any, Path, Console], str]
"""(earlier stage, its folder, what the recipe asks of it, the folder of the stage that takes it, console) -> value."""


def _completions(earlier: Stage, folder: Path, asked: Any, out: Path, console: Console) -> str:
    """Of a stage that samples alone what it kept; of one that learned from its samples a harvest of its rollouts."""
    if earlier.recipe.kind in TRAINS_NOTHING:
        return str(folder)
    out.mkdir(exist_ok=True)
    options = HarvestOptions.model_validate(asked.model_dump(exclude={"stage"}))
    harvest_samples(folder, options, out / DEMONSTRATIONS, force=True, console=console)
    return str(out / DEMONSTRATIONS)


def _policy(earlier: Stage, folder: Path, asked: Any, out: Path, console: Console) -> str:
    """Of its newest adapter on its base."""
    return str(folder)


GIVEN: Mapping[str, Give] = {"demonstrations.source": _completions, "distil.teacher": _policy}


def given(road: Road, stage: Stage, out: Path, console: Console) -> Recipe:
    """The whole recipe of a stage whose turn it is, in the road's folder `out`.

    One that has begun goes on with what it was given then, byte for byte.
    """
    folder, recipe = out / stage.folder, stage.recipe
    keys = list(stage.taken)
    if (start := road.before(stage)) is not None:
        keys.append("lora.init")
    if is_run(folder):
        stored = read_yaml(folder / RECIPE, "recipe")
        values = {key: _value_at(stored, key) for key in keys}
    else:
        by_name = {it.name: it for it in road.stages}
        values = {"lora.init": str(out / start.folder)} if start is not None else {}
        for key, asked in stage.taken.items():
            earlier = by_name[asked.stage]
            values[key] = GIVEN[key](earlier, out / earlier.folder, asked, folder, console)
        _share_tiny(road, stage, out)
    for key, value in values.items():
        recipe = with_value(recipe, key, value)
    return recipe


def _value_at(stored: Mapping[str, Any], key: str) -> Any:
    section, name = key.split(".")
    return stored[section][name]


def _share_tiny(road: Road, stage: Stage, out: Path) -> None:
    """With `tiny: true` stages of one base have one tiny model, though the vocabulary of each would be its own."""
    folder = out / stage.folder / TINY_FOLDER
    base, earlier = stage.recipe.model.path, road.stages[: stage.number - 1]
    same = next((it for it in earlier if it.recipe.tiny and it.recipe.model.path == base), None)
    if stage.recipe.tiny and same is not None and not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        with whole_folder(folder) as copy:
            shutil.copytree(out / same.folder / TINY_FOLDER, copy, dirs_exist_ok=True)
