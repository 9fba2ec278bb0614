"""What can be known of a recipe's stages before the first has run; `doubleback check` of any recipe."""

from collections.abc import Callable

from doubleback.eval.show.console import Console
from doubleback.recipes.commands.check import check_recipe, show_memory
from doubleback.recipes.commands.planning.show import Asked, show_plan
from doubleback.recipes.commands.stages.saying import described, in_stage, named
from doubleback.recipes.recipe.assembly import prepare
from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.recipe.stages.road import Road
from doubleback.rewards.settings import require_folder
from doubleback.rewards.types import ConfigError

PREPARED = {"data", "demonstrations", "eval", "kind", "mix", "model", "modes", "reward", "sampling", "task", "tiny"}
"""Sections of a recipe on which it depends how it is prepared."""


def check_all(recipe: Recipe | Road, console: Console) -> None:
    """Show data, adapter and what the base does, of each stage. ConfigError or RunError where one cannot train."""
    if isinstance(recipe, Road):
        require_prepared(recipe, console)
    _each(recipe, check_recipe, console)


def show_memory_of_all(recipe: Recipe | Road, console: Console) -> None:
    """Parameters and memory of each stage, from the configuration alone."""
    _each(recipe, show_memory, console)


def show_plan_of_all(recipe: Recipe | Road, asked: Asked, console: Console) -> None:
    """What each stage that samples and learns would take on more GPUs, from the configuration alone."""
    if isinstance(recipe, Recipe):
        show_plan(asked, recipe, console)
        return
    for stage in recipe.stages:
        console.print(described(recipe, stage), soft_wrap=True)
        if stage.recipe.kind != "rl":  # `known` stands in for what earlier stages have not made yet, kind included
            console.print(f"no plan for kind={stage.recipe.kind}")
            continue
        with in_stage(stage):
            show_plan(asked, stage.known, console)


def _each(recipe: Recipe | Road, show: Callable[[Recipe, Console], None], console: Console) -> None:
    if isinstance(recipe, Recipe):
        show(recipe, console)
        return
    for stage in recipe.stages:
        console.print(described(recipe, stage), soft_wrap=True)
        with in_stage(stage):
            show(stage.known, console)


def require_prepared(road: Road, console: Console) -> None:
    """ConfigError with the findings of all stages, unless each has its problems, golds and prompts, and a folder that
    it starts from.
    """
    findings, seen = list[str](), list[dict[str, object]]()
    with console.status("reading the problems of every stage"):
        for stage in road.stages:
            sections = stage.known.model_dump(include=PREPARED)
            try:
                if stage.recipe.lora.init is not None:
                    require_folder(stage.recipe.lora.init, "from=")
                if sections not in seen:
                    with prepare(stage.known):
                        seen.append(sections)
            except ConfigError as error:
                findings += named(stage, error)
    if findings:
        raise ConfigError("\n".join(findings))
