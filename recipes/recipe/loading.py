"""From a recipe's name or path and `key.path=value` overrides to a validated Recipe. Every finding is one line."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from doubleback.eval.suites.suite import code_of_suite
from doubleback.recipes.data.table import start_from_data
from doubleback.recipes.models.table import shipped_models, start_from_model
from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.recipe.stages.reading import STAGES, read_road
from doubleback.recipes.recipe.stages.road import Road
from doubleback.rewards import settings
from doubleback.rewards.contract.trust import approve, named_code, require_approved
from doubleback.rewards.types import ConfigError

FOLDER = Path(__file__).parents[1]


def shipped() -> dict[str, Path]:
    """The recipes that come with doubleback, by name."""
    return settings.shipped(FOLDER)


def load_recipe(name: str, overrides: settings.Overrides = (), *, trust: bool = False) -> Recipe | Road:
    """The recipe `name` (shipped, or a path to a YAML file) with overrides; a Road where it has `stages`.

    Overrides are texts, as on the command line, or a mapping whose values are taken as they are:
    `load_recipe("countdown", {"steps": 20, "reward.components": {"mine": my_function}})`. Of a road they are for every
    stage, with `stages.NAME.` before the key for one. ConfigError lists all findings at once. Code that the file names,
    and no override, runs with `trust` alone: without it ConfigError lists that code, and nothing of it has run.
    """
    _refuse_a_base_in_the_name(name)
    data = settings.read_yaml(settings.find_yaml(name, FOLDER, "recipe"), "recipe")

    def validated(whole: dict[str, Any]) -> Recipe:
        whole = _with_data(start_from_data(start_from_model(whole)))
        found = list(_code_of(whole))
        if trust:
            approve(location for _, location in found)
        require_approved(found, f"recipe {name}")  # before the settings are looked at: a task's own keys are its code's
        return settings.validated(Recipe, whole)

    approve(_code_of_overrides(overrides))
    if STAGES in data:
        return read_road(data, overrides, validated)
    return validated(settings.override(data, overrides, Recipe))


def _code_of_overrides(overrides: settings.Overrides) -> Iterator[str]:
    """The locations of all code that overrides name, each by itself: what they override is not asked."""
    each: list[settings.Overrides] = [[item] for item in overrides]
    if isinstance(overrides, Mapping):
        each = [{key: value} for key, value in overrides.items()]
    for one in each:
        with suppress(ConfigError):  # a fault is named where it is put in
            yield from (location for _, location in named_code(settings.override({}, one, Recipe)))


def _code_of(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, location) of all code that a recipe names, by itself or in a suite that it measures on."""
    yield from named_code(data)
    suites = section.get("suites") if isinstance(section := data.get("eval"), dict) else None
    for suite in suites if isinstance(suites, list) else ():
        yield from ((f"suite {suite}: {key}", location) for key, location in code_of_suite(suite))


def _with_data(data: dict[str, Any]) -> dict[str, Any]:
    """The recipe with what the data sets of the tasks beside its own say of these."""
    if not isinstance(mix := data.get("mix"), dict):
        return data
    given = {name: start_from_data(task) if isinstance(task, dict) else task for name, task in mix.items()}
    return {**data, "mix": given}


def _refuse_a_base_in_the_name(name: str) -> None:
    """ConfigError with the new command for olmoe-1b-7b-gsm8k and its like, which were recipes of their own."""
    for model in shipped_models():
        recipe = name.removeprefix(f"{model}-")
        if recipe != name and recipe in shipped():
            raise ConfigError(f"recipe {name} is {recipe} with another base now: {recipe} model={model}")
