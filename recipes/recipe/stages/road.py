"""A recipe of stages, as it is run: an ordinary recipe for each, and what it takes from those before."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.recipe.stages.taken import Taken, put_back, with_value

BASE = "base"
"""What `from` says of a stage that starts with a fresh adapter."""
TRAINS_NOTHING = ("sample",)
"""Kinds that leave no adapter: who starts from such a stage starts from what it started from."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage."""

    number: int
    """The first is 1."""
    name: str
    recipe: Recipe
    """All of it but what earlier stages leave."""
    start: str
    """Where its adapter comes from: an earlier stage's name, a folder, or `base` for a fresh one."""
    taken: Mapping[str, Taken]
    """Key of the recipe -> what stands there instead."""

    @property
    def folder(self) -> str:
        """The name of its run in the folder of the whole: 02-reasoning."""
        return f"{self.number:02d}-{self.name}"

    @property
    def known(self) -> Recipe:
        """The recipe as far as it is known before the earlier stages have run: on the base, and where the completions
        are missing that it is to learn from, without learning.
        """
        recipe = with_value(self.recipe, "lora.init", None)
        defaults = {key.split(".")[0] for key in self.taken}
        unknown = {name: Recipe.model_fields[name].get_default() for name in defaults}
        return recipe.model_copy(update={**unknown, "kind": "rl"}) if unknown else recipe

    def as_data(self) -> dict[str, Any]:
        """As it is written in a file, with every default."""
        data = with_value(self.recipe, "lora.init", None).model_dump(mode="json")
        return {"from": self.start, **put_back(data, self.taken)}


@dataclass(frozen=True, slots=True)
class Road:
    """All stages, in order."""

    description: str
    """One line for `doubleback list`."""
    name: str | None
    """What the whole is called in its default folder."""
    stages: tuple[Stage, ...]

    @property
    def private(self) -> bool:
        """Whether its files are the user's alone: unless a stage says otherwise."""
        return all(stage.recipe.private for stage in self.stages)

    trainer: ClassVar[str] = "doubleback"
    """Who trains every stage: no other goes on exactly where it stopped."""

    def before(self, stage: Stage) -> Stage | None:
        """The stage whose adapter this one starts from; None where it starts from the base, or from a folder."""
        by_name = {it.name: it for it in self.stages}
        start = by_name.get(stage.start)
        return self.before(start) if start is not None and start.recipe.kind in TRAINS_NOTHING else start

    def as_data(self) -> dict[str, Any]:
        """As it is written in a file, with every default; read again it is the same road."""
        stages = {stage.name: stage.as_data() for stage in self.stages}
        return {"description": self.description, "name": self.name, "stages": stages}
