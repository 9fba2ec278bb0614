"""The settings, and which of them differ from the defaults, or between runs. Reads the recipe as data: runs no code."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import yaml
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from doubleback.recipes.publish.private import shareable
from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.report.blocks import Block, Code, Folded, Section, Table
from doubleback.recipes.report.content import RunContent
from doubleback.rewards.types import shortened

REQUIRED = "(has none)"
MOVABLE = ("description", "name", "tags")
"""Keys that say what a run is called, and nothing of what it does."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of a recipe."""

    key: str
    value: Any
    default: Any
    """REQUIRED where every recipe has to give it, or only the task knows it."""

    @property
    def differs(self) -> bool:
        """Whether somebody chose it."""
        return bool(self.value != self.default)


def settings(runs: Sequence[RunContent]) -> Section:
    """What differs from the defaults, or from run to run, and all keys folded."""
    cleaned = [shareable(dict(run.recipe)) for run in runs]
    recipes = [data for data, _ in cleaned]
    blocks: list[Block] = [_changed(recipes[0])] if len(runs) == 1 else [_between(runs, recipes)]
    for run, data in zip(runs, recipes, strict=True):
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
        name = "recipe.yaml" if len(runs) == 1 else f"recipe.yaml of {run.label}"
        blocks.append(Folded(f"All settings, as {name} has them", [Code(name, text)]))
    secrets = sorted({key for _, keys in cleaned for key in keys})
    hidden = f" Left out as secrets: {', '.join(secrets)}." if secrets else ""
    return Section("settings", "Settings", blocks, f"Of paths of this machine the last name is left.{hidden}")


def _changed(recipe: Mapping[str, Any]) -> Table:
    changed = [item for item in read_settings(recipe, Recipe) if item.differs and item.key not in MOVABLE]
    rows = [(item.key, _shown(item.value), _shown(item.default)) for item in changed]
    return Table("What differs from the defaults", ("key", "value", "default"), rows, is_numeric=False)


def _between(runs: Sequence[RunContent], recipes: Sequence[Mapping[str, Any]]) -> Table:
    flat = [{item.key: item.value for item in read_settings(data, Recipe)} for data in recipes]
    keys = list(dict.fromkeys(key for of in flat for key in of if key not in MOVABLE))
    rows = [
        (key, *(_shown(of[key]) if key in of else "-" for of in flat))
        for key in keys
        if any(of.get(key) != flat[0].get(key) or (key in of) != (key in flat[0]) for of in flat)
    ]
    note = "" if rows else "The settings of these runs are equal."
    return Table(
        "What differs between the runs", ("key", *(run.label for run in runs)), rows, is_numeric=False, note=note
    )


def read_settings(data: Mapping[str, Any], section: type[BaseModel] | None, prefix: str = "") -> Iterator[Setting]:
    """Every key of `data` with its value and the default that `section` has for it, sections and named items opened."""
    fields = {} if section is None else section.model_fields
    for name, value in data.items():
        field, key = fields.get(name), f"{prefix}{name}"
        inner = None if field is None else _section_in(field.annotation)
        if isinstance(value, Mapping) and (inner is not None or section is None):
            if _is_named(field.annotation if field else None):
                for item, given in value.items():
                    yield from _item(given, inner, f"{key}.{item}")
            else:
                yield from read_settings(value, inner, f"{key}.")
            continue
        default = REQUIRED
        if field is not None and not field.is_required():
            default = to_jsonable_python(field.get_default(call_default_factory=True), fallback=str)
        yield Setting(key, value, default)


def _item(given: Any, inner: type[BaseModel] | None, key: str) -> Iterator[Setting]:
    """One of several sections under names of the user's: those keys that were chosen, and one at least."""
    if not isinstance(given, Mapping) or inner is None:
        yield Setting(key, given, REQUIRED)
        return
    chosen = [item for item in read_settings(given, inner, f"{key}.") if item.differs]
    yield from chosen or [Setting(key, "(defaults)", REQUIRED)]


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation holds: itself, or inside of `X | None`, `dict[str, X]`, `Annotated`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section_in(part)) is not None), None)


def _is_named(annotation: Any) -> bool:
    """Whether the annotation is of sections under names of the user's."""
    origin = getattr(annotation, "__origin__", None)
    return (isinstance(origin, type) and issubclass(origin, Mapping)) or any(map(_is_named, get_args(annotation)))


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return value if isinstance(value, str) else shortened(value)
