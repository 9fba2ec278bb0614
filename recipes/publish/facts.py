"""What a run says of itself, read from its folder: all that a model card is made of. Loads no torch."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from doubleback.recipes.publish.base import Base, base_of
from doubleback.recipes.publish.private import shareable, without_folder
from doubleback.recipes.recipe.mixture.config import strand_names
from doubleback.recipes.recipe.results import Run
from doubleback.recipes.recipe.schema import Recipe
from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.records import read_record
from doubleback.rewards.rows import HUB, OF_FILES
from doubleback.rl.run.names import ENVIRONMENT, INPUTS, METRICS, step_of

MODEL_KEY = "model.path="


@dataclass(frozen=True, slots=True)
class Measured:
    """One suite, as the run measured it."""

    suite: str
    before: Mapping[str, Any] | None
    """The summary of step 0; None where there is none."""
    after: Mapping[str, Any] | None
    """The summary of the step that is published; None where there is none."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A run at one of its checkpoints."""

    recipe: Recipe
    base: Base
    step: int
    """Of the checkpoint."""
    measured: Sequence[Measured]
    """The test problems first."""
    inputs: Mapping[str, str]
    """What the results depend on -> its hash, without folders of this machine; empty where the run has none."""
    environment: Mapping[str, Any]
    """Python, platform, threads, packages; empty where the run has none."""
    lines: Sequence[Mapping[str, Any]]
    """The metrics of every step up to the checkpoint's, step 0 included."""
    settings: Mapping[str, Any]
    """The recipe with every default, as anybody may read it."""
    left_out: Sequence[str]
    """Keys of the recipe whose value looked like a secret."""

    @property
    def changed(self) -> dict[str, Any]:
        """The settings that a recipe has to give, and those that differ from their defaults."""
        return _changed(self.recipe, self.settings)

    @property
    def validations(self) -> set[str]:
        """What validation problems are measured as: no figure of a card, for settings were chosen by it."""
        return {"validation", *(f"validation-{name}" for name in strand_names(self.recipe))}

    @property
    def trained(self) -> list[Mapping[str, Any]]:
        """The lines of steps in which something was learned."""
        return [line for line in self.lines if line["step"] > 0]

    def total(self, metric: str) -> float:
        """The sum of a metric over the steps; NaN where a step has none."""
        values = [line.get(metric) for line in self.trained]
        return math.nan if not values or None in values else float(sum(value for value in values if value is not None))

    @property
    def datasets(self) -> list[str]:
        """The hub ids that the task reads, without revision, configuration and split."""
        named = self.recipe.task.model_dump(mode="json")
        sources = [it for key in ("train", "test") for it in _texts(named.get(key))]
        # A file that was there has a hash among the inputs.
        known = {key.partition("=")[2] for key in self.inputs if key.startswith("task.")}
        is_hub = [it for it in sources if HUB.fullmatch(it) and not it.lower().endswith(OF_FILES) and it not in known]
        return sorted({re.split("[:@]", it)[0] for it in is_hub})


def read_facts(run: Path, recipe: Recipe, checkpoint: Path, base: str | None) -> Facts:
    """The facts of the run at the folder `run`, at one of its checkpoints. `base`: the hub id of its base, if given.

    ConfigError names a file that is damaged.
    """
    step = step_of(checkpoint.name) or 0
    raw = dict(read_record(run / INPUTS)) if (run / INPUTS).exists() else {}
    settings, left_out = shareable(recipe.model_dump(mode="json"))
    return Facts(
        recipe=recipe,
        base=base_of(recipe.model.path, base, raw),
        step=step,
        measured=_measured(Run(run).evaluations(), step),
        inputs={_without_folders(name, recipe.model.path): value for name, value in raw.items()},
        environment=dict(read_record(run / ENVIRONMENT)) if (run / ENVIRONMENT).exists() else {},
        lines=[line for line in complete_lines(run / METRICS) if line["step"] <= step],
        settings=settings,
        left_out=left_out,
    )


def _measured(evaluations: Mapping[str, Mapping[str, Any]], step: int) -> list[Measured]:
    """Each suite at step 0 and at `step`: test first, validation last."""
    at = {(item["suite"], item["step"]): item for item in evaluations.values()}
    suites = sorted({suite for suite, _ in at}, key=lambda suite: (suite != "test", suite == "validation", suite))
    return [Measured(suite, at.get((suite, 0)), at.get((suite, step)) if step else None) for suite in suites]


def _without_folders(name: str, model: str) -> str:
    """`task.train=/home/ann/rows.jsonl` as `task.train=rows.jsonl`; of the base's files the name alone."""
    if name.startswith(f"{MODEL_KEY}{model}"):
        return f"{MODEL_KEY}{without_folder(model)}{name.removeprefix(f'{MODEL_KEY}{model}')}"
    key, equals, value = name.partition("=")
    path, comma, rest = value.partition(",")
    return f"{key}{equals}{without_folder(path)}{comma}{rest}" if equals else name


def _changed(section: BaseModel, settings: Mapping[str, Any]) -> dict[str, Any]:
    changed = {}
    for name, field in type(section).model_fields.items():
        value, shown = getattr(section, name), settings[name]
        if isinstance(value, BaseModel):
            inner = _changed(value, shown) if isinstance(shown, Mapping) else shown
            if inner:
                changed[name] = inner
        elif isinstance(value, dict) and any(isinstance(item, BaseModel) for item in value.values()):
            changed[name] = {key: _changed(item, shown[key]) for key, item in value.items()}
        elif field.is_required() or value != field.get_default(call_default_factory=True):
            changed[name] = shown
    return changed


def _texts(value: Any) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            yield item
