"""Bases that come with doubleback: what the `bases.py` of a task's folder makes from scratch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from doubleback.recipes.tasks.task import FOLDER, shipped_tasks
from doubleback.rewards.nearest import nearest
from doubleback.rewards.settings import Section, override, validated
from doubleback.rewards.types import ConfigError


@dataclass(frozen=True, slots=True)
class Pretraining:
    """A base, and how it is made again."""

    description: str
    """One line for `doubleback list`."""
    settings: Section
    run: Callable[[Any, Path], None]
    """(settings, folder that must not exist) -> the base in that folder."""


def shipped_bases() -> dict[str, Pretraining]:
    """The bases of all tasks, by name."""
    with_bases = [task for task in shipped_tasks() if (FOLDER / task / "bases.py").is_file()]
    modules = [import_module(f"doubleback.recipes.tasks.{task}.bases") for task in with_bases]
    return {name: base for module in modules for name, base in module.BASES.items()}


def find_base(name: str, overrides: Sequence[str]) -> Pretraining:
    """A base with `key.path=value` overrides in its settings. ConfigError for unknown names and keys."""
    bases = shipped_bases()
    if name not in bases:
        raise ConfigError(f"base {name!r} does not come with doubleback; {nearest(name, bases)}")
    base = bases[name]
    section = type(base.settings)
    given = override(base.settings.model_dump(mode="json"), overrides, section)
    return replace(base, settings=validated(section, given))
