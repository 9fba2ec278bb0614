"""A road that goes on: its stages are those it began with, and each has the settings that it had."""

from collections.abc import Collection, Mapping
from typing import Any

from doubleback.recipes.recipe.inputs import NEW_RUN, changed_settings
from doubleback.recipes.recipe.stages.road import Road, Stage
from doubleback.recipes.recipe.stages.taken import take_out, with_value
from doubleback.rewards.types import ConfigError, lines_of

FROZEN = ("steps", "harvest")
"""Keys that a resumed run may change, but no stage that is finished: who starts from it would start elsewhere."""


def require_same_road(stored: Mapping[str, Any], road: Road, finished: Collection[str]) -> None:
    """ConfigError, a line each, where the road is not the one that `stored`, its file, holds.

    What a resumed run may change a stage may too, unless it is in `finished` and its outcome would be another.
    """
    names, before = [stage.name for stage in road.stages], list(stored["stages"])
    if names != before:
        raise ConfigError(f"--resume: the stages are {', '.join(names)}, the run has {', '.join(before)}; {NEW_RUN}")
    lines = [
        f"stage {stage.name}: {line}"
        for stage in road.stages
        for line in _changed(stored["stages"][stage.name], stage, stage.name in finished)
    ]
    if lines:
        raise ConfigError("\n".join(lines))


def _changed(stored: Mapping[str, Any], stage: Stage, is_finished: bool) -> list[str]:
    settings, taken = take_out({key: value for key, value in stored.items() if key != "from"})
    pairs: dict[str, tuple[Any, Any]] = {"from": (stored["from"], stage.start)}
    pairs |= {key: (taken.get(key), stage.taken.get(key)) for key in {**taken, **stage.taken}}
    now = stage.recipe.model_dump(mode="json")
    if is_finished:
        pairs |= {key: (settings.get(key), now.get(key)) for key in FROZEN}
    lines = [
        f"--resume: {key} is {new!r}, the run has {old!r}{', and is finished' if key in FROZEN else ''}; {NEW_RUN}"
        for key, (old, new) in pairs.items()
        if old != new
    ]
    if not lines:
        try:
            changed_settings(settings, with_value(stage.recipe, "lora.init", None))
        except ConfigError as error:
            lines += lines_of(error)
    return lines
