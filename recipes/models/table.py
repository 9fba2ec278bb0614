"""The table of published bases: a file each, with what a recipe on that base starts from. Loads no torch."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from doubleback.rewards import settings
from doubleback.rewards.types import ConfigError

FOLDER = Path(__file__).parent
NEAR = 0.8
"""How alike two names must be, from 0 to 1, for one to be taken for a misspelt other: a hub id may be one word too."""

SAMPLES_NOTHING = ("sft", "sample")
"""Kinds of recipe that learn from no samples of their own: what a model asks of the algorithm is about those."""


def shipped_models() -> dict[str, Path]:
    """The files of the table, by the name that `model.path` takes."""
    return settings.shipped(FOLDER)


def start_from_model(data: dict[str, Any]) -> dict[str, Any]:
    """The recipe `data` on top of what the table says of its base: the recipe's own keys win, and `model.path` is where
    the base lies. As it is where `model.path` is no name of the table; ConfigError where it is nearly one.
    """
    given = data.get("model")
    model = given if isinstance(given, Mapping) else {"path": given}
    name, models = str(model.get("path")), shipped_models()
    if name not in models:
        near = [] if "/" in name else get_close_matches(name, models, n=1, cutoff=NEAR)  # of the hub, or a folder
        if near and not Path(name).exists():
            raise ConfigError(
                f"model.path={name} is neither in the table of models nor a folder; did you mean {near[0]}?"
            )
        return data
    start = settings.read_yaml(models[name], "model")
    own = {key: value for key, value in model.items() if key != "path"}
    start.pop("description", None)
    if data.get("kind") in SAMPLES_NOTHING:
        start.pop("algorithm", None)
    return settings.on_top_of(start, {**data, "model": own})
