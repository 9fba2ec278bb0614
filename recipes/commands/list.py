"""What comes with doubleback, a line each."""

import re
from importlib.metadata import EntryPoint

from rich.table import Table

from doubleback.eval.prompts.prompt import load_prompt, shipped_prompts
from doubleback.eval.suites.suite import load_config, shipped_suites
from doubleback.recipes.models.table import shipped_models
from doubleback.recipes.recipe.loading import load_recipe, shipped
from doubleback.recipes.tasks.pretraining import shipped_bases
from doubleback.recipes.tasks.task import GROUP as TASKS
from doubleback.recipes.tasks.task import find_task, shipped_tasks
from doubleback.rewards.builtin.table import BUILTIN
from doubleback.rewards.contract.lookup import offered
from doubleback.rewards.settings import read_yaml
from doubleback.rl.objective.presets import PRESETS


def catalogue() -> Table:
    """Recipes, models, tasks, presets of the algorithm, rewards, suites, prompts and bases."""
    table = Table(box=None, pad_edge=False)
    for column in ("kind", "name", "what it is"):
        table.add_column(column)
    for name in shipped():
        table.add_row("recipe", name, load_recipe(name).description)
    for name, path in shipped_models().items():
        table.add_row("model", name, read_yaml(path, "model")["description"])
    for name in shipped_tasks():
        table.add_row("task", name, _first_sentence(find_task(name)))
    for name, point in offered(TASKS).items():
        table.add_row("task", name, _from_a_package(point))
    for name, preset in PRESETS.items():
        table.add_row("preset", name, f"{preset.description} ({preset.paper})")
    for name, function in BUILTIN.items():
        table.add_row("reward", name, _first_sentence(function))
    for name, point in offered().items():
        table.add_row("reward", name, _from_a_package(point))
    for name in shipped_suites():
        table.add_row("suite", name, load_config(name)[1].description)
    for name in shipped_prompts():
        table.add_row("prompt", name, load_prompt(name).description)
    for name, base in shipped_bases().items():
        table.add_row("base", name, base.description)
    return table


def _from_a_package(point: EntryPoint) -> str:
    return f"{point.value}, from {point.dist.name if point.dist else 'an installed package'}"


def _first_sentence(documented: object) -> str:
    return re.split(r"\. (?=[A-Z])", " ".join((documented.__doc__ or "").split()))[0].rstrip(".")
