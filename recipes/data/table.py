"""The table of data sets: a file each, with what a recipe on those questions starts from. Loads no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from doubleback.rewards import settings
from doubleback.rewards.rows import is_on_hub
from doubleback.rewards.settings import Section
from doubleback.rewards.types import ConfigError

FOLDER = Path(__file__).parent
TASK = "math"
"""The task of a data set that names none."""


class DataSet(Section):
    """A YAML file of `recipes/data`, or one of your own."""

    description: str
    """One line for `doubleback list`."""
    licence: str | None = None
    """What its page on the hub states. The rows are read where they lie: none comes with doubleback."""
    faults: list[str] = []  # noqa: RUF012  (frozen, validated, never shared)
    """What is known to be wrong with its rows, each with what the keys of `task` do about it."""
    task: dict[str, Any]
    """Keys of the recipe's section `task`: where the rows lie, their fields, the form of their golds."""


def shipped_data() -> dict[str, Path]:
    """The files of the table, by the name that `data` takes."""
    return settings.shipped(FOLDER)


def load_data(name: str) -> DataSet:
    """A data set of the table, or one from a YAML file. ConfigError, one line a finding."""
    if is_on_hub(name):
        raise ConfigError(f"data={name} is a name of the hub; write task.train={name}, or a YAML file that names it")
    return settings.load_section(name, FOLDER, DataSet, "data set")


def start_from_data(data: dict[str, Any]) -> dict[str, Any]:
    """The recipe `data` on top of the data set that its key `data` names: the recipe's own keys win. As it is where it
    names none; ConfigError where there is no such data set, or it is for another task.
    """
    name, own = data.get("data"), data.get("task", {})
    if not (isinstance(name, str) and isinstance(own, Mapping)):
        return data
    start = {"name": TASK, **load_data(name).task}
    if own.get("name", start["name"]) != start["name"]:
        raise ConfigError(
            f"data={name} is for task.name={start['name']}, and the recipe has task.name={own['name']}; take a recipe "
            f"on {start['name']}"
        )
    return {**data, "task": settings.on_top_of(start, own)}
