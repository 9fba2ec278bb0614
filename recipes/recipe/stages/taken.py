"""What a stage takes from an earlier one, beside the adapter that it starts from: keys whose value is `{stage: NAME}`.

A key is a row of `TAKEN`; `recipes.commands.stages.giving` has for each of them what is put in its place.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field

from doubleback.recipes.recipe.imitation.harvest import HarvestOptions
from doubleback.rewards.settings import Section, validated
from doubleback.rewards.types import ConfigError, lines_of

Settings = TypeVar("Settings", bound=Section)


class Taken(Section):
    """What stands in the place of a value that an earlier stage leaves."""

    kinds: ClassVar[tuple[str, ...]] = ("rl", "sft", "distil")
    """Of which kind that stage may be: one that leaves a policy."""

    stage: Annotated[str, Field(min_length=1)]
    """The earlier stage."""


class TakenSamples(Taken, HarvestOptions):
    """What is worth imitating of an earlier stage's samples: of `kind: rl` its rollouts, harvested as the options ask;
    of `kind: sample` what it kept.
    """

    kinds = ("rl", "distil", "sample")


TAKEN: Mapping[str, type[Taken]] = {"demonstrations.source": TakenSamples, "distil.teacher": Taken}
"""Key of a recipe -> what may stand there."""


def take_out(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Taken]]:
    """The settings of a stage with a text in the place of what it takes; and by key what that is.

    ConfigError where a mapping stands there that names no stage, or has a key that is not one of these.
    """
    settings, taken, findings = dict(data), dict[str, Taken](), list[str]()
    for key, section in TAKEN.items():
        value = _value_at(settings, key)
        if not isinstance(value, Mapping):
            continue
        try:
            taken[key] = validated(section, value, f"{key}.")
        except ConfigError as error:
            findings += lines_of(error)
        settings = _with(settings, key, f"stage:{value.get('stage')}")
    if findings:
        raise ConfigError("\n".join(findings))
    return settings, taken


def put_back(data: Mapping[str, Any], taken: Mapping[str, Taken]) -> dict[str, Any]:
    """The settings as they are written: the inverse of `take_out`."""
    settings = dict(data)
    for key, value in taken.items():
        settings = _with(settings, key, value.model_dump(mode="json"))
    return settings


def with_value(section: Settings, key: str, value: Any) -> Settings:
    """The section with another value at `key.path`."""
    name, _, rest = key.partition(".")
    inner = with_value(getattr(section, name), rest, value) if rest else value
    return section.model_copy(update={name: inner})


def _value_at(data: Any, key: str) -> Any:
    """None where nothing stands there."""
    for name in key.split("."):
        data = data.get(name) if isinstance(data, Mapping) else None
    return data


def _with(data: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    name, _, rest = key.partition(".")
    return {**data, name: _with(data[name], rest, value) if rest else value}
