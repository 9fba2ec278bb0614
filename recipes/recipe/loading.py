"""From a recipe's name or path and `key.path=value` overrides to a validated Recipe. Every finding is one line."""

from pathlib import Path

from doubleback.recipes.recipe.schema import Recipe
from doubleback.rewards import settings

FOLDER = Path(__file__).parents[1]


def shipped() -> dict[str, Path]:
    """The recipes that come with doubleback, by name."""
    return settings.shipped(FOLDER)


def load_recipe(name: str, overrides: settings.Overrides = ()) -> Recipe:
    """The recipe `name` (shipped, or a path to a YAML file) with overrides. ConfigError lists all findings at once.

    Overrides are texts, as on the command line, or a mapping whose values are taken as they are:
    `load_recipe("countdown", {"steps": 20, "reward.components": {"mine": my_function}})`.
    """
    path = settings.find_yaml(name, FOLDER, "recipe")
    return settings.validated(Recipe, settings.override(settings.read_yaml(path, "recipe"), overrides, Recipe))
