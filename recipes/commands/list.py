"""What comes with doubleback, a line each."""

import re

from rich.table import Table

from doubleback.eval.prompts.prompt import load_prompt, shipped_prompts
from doubleback.eval.suites.suite import load_config, shipped_suites
from doubleback.recipes.data.table import load_data, shipped_data
from doubleback.recipes.models.table import shipped_models
from doubleback.recipes.recipe.loading import load_recipe, shipped
from doubleback.recipes.tasks.pretraining import shipped_bases
from doubleback.recipes.tasks.task import GROUP as TASKS
from doubleback.recipes.tasks.task import find_task, shipped_tasks
from doubleback.rewards.builtin.table import BUILTIN
from doubleback.rewards.contract.lookup import GROUP as REWARDS
from doubleback.rewards.contract.lookup import offered
from doubleback.rewards.settings import read_yaml
from doubleback.rl.objective.presets import PRESETS


def catalogue() -> Table:
    """All that has a name, a section a kind: recipes first, since everything else is named in one."""
    table = Table(box=None, pad_edge=False)
    for column in ("kind", "name", "what it is"):
        table.add_column(column)
    for kind, names in _kinds().items():
        for index, (name, text) in enumerate(names.items()):
            table.add_row("" if index else kind, name, text)
        table.add_section()
    return table


def _kinds() -> dict[str, dict[str, str]]:
    """Kind -> name -> what it is, in one line."""
    return {
        "recipe": {name: load_recipe(name).description for name in shipped()},
        "model": {name: read_yaml(path, "model")["description"] for name, path in shipped_models().items()},
        "data": {name: load_data(name).description for name in shipped_data()},
        "task": {name: _first_sentence(find_task(name)) for name in shipped_tasks()} | _from_packages(TASKS),
        "preset": {name: f"{preset.description} ({preset.paper})" for name, preset in PRESETS.items()},
        "reward": {name: _first_sentence(function) for name, function in BUILTIN.items()} | _from_packages(REWARDS),
        "suite": {name: load_config(name)[1].description for name in shipped_suites()},
        "prompt": {name: load_prompt(name).description for name in shipped_prompts()},
        "base": {name: base.description for name, base in shipped_bases().items()},
    }


def _from_packages(group: str) -> dict[str, str]:
    return {
        name: f"{point.value}, from {point.dist.name if point.dist else 'an installed package'}"
        for name, point in offered(group).items()
    }


def _first_sentence(documented: object) -> str:
    return re.split(r"\. (?=[A-Z])", " ".join((documented.__doc__ or "").split()))[0].rstrip(".")
