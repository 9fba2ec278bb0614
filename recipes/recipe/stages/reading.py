"""From YAML with `stages` and overrides to a Road. The findings of all stages come at once, each named by its stage."""

import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.recipe.stages.fitting import findings_between
from doubleback.recipes.recipe.stages.road import BASE, TRAINS_NOTHING, Road, Stage
from doubleback.recipes.recipe.stages.taken import Taken, take_out, with_value
from doubleback.rewards.nearest import nearest
from doubleback.rewards.settings import Overrides, on_top_of, override
from doubleback.rewards.types import ConfigError, lines_of, shortened

STAGES = "stages"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
MOST = 99
"""Most stages: their folders sort by two digits."""
Build = Callable[[dict[str, Any]], Recipe]
"""Settings -> a recipe, with all its checks."""


def read_road(data: Mapping[str, Any], overrides: Overrides, build: Build) -> Road:
    """The stages of `data`: its other keys, with each stage's own on top, section by section.

    An override `stages.NAME.key=value` is for one stage, any other for all of them; both win over what the file says.
    ConfigError with the findings of all stages.
    """
    common = {key: value for key, value in data.items() if key != STAGES}
    given = _named(data[STAGES])
    for_all, for_one = _split(overrides, list(given))
    stages, findings = list[Stage](), list[str]()
    for number, (name, own) in enumerate(given.items(), start=1):
        earlier = [*given][: number - 1]
        # A copy: overrides are put in where they belong, and what stages share they would share.
        settings = deepcopy(on_top_of({key: value for key, value in common.items() if key != "name"}, own))
        try:
            settings = override(settings, for_all, Recipe)
            if settings.get("kind") in TRAINS_NOTHING and "steps" not in own:
                settings.pop("steps", None)  # of the others
            settings = override(settings, for_one[name], Recipe)
            stages.append(_stage(number, name, settings, earlier, build))
        except ConfigError as error:
            findings += lines_of(error, f"stage {name}: ")
    if not findings:
        findings += findings_between(stages)
    if findings:
        raise ConfigError("\n".join(findings))
    description = common.get("description", stages[0].recipe.description)
    return Road(description, common.get("name"), tuple(stages))


def _named(given: Any) -> Mapping[str, Mapping[str, Any]]:
    """The stages by name, in order. ConfigError where that is not what stands there."""
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"stages={shortened(given)}: give a mapping of each stage's name to its keys, in order")
    if len(given) > MOST:
        raise ConfigError(f"stages are {len(given)}, and {MOST} at most; make two recipes of them")
    findings = [
        f"stages: {name!r} is no name of a stage; take letters, digits, - and _, and not {BASE}"
        for name in given
        if not (isinstance(name, str) and NAME.fullmatch(name)) or name == BASE
    ]
    findings += [
        f"stages.{name}={shortened(own)}: give the keys in which it differs, or {{}}"
        for name, own in given.items()
        if not isinstance(own, Mapping)
    ]
    if findings:
        raise ConfigError("\n".join(findings))
    return given


def _split(overrides: Overrides, names: list[str]) -> tuple[Overrides, dict[str, Overrides]]:
    """Overrides of all stages, and those of each. ConfigError for those of a stage that there is not."""
    is_mapping = isinstance(overrides, Mapping)
    items = list(overrides.items()) if isinstance(overrides, Mapping) else [(item, None) for item in overrides]
    for_all, for_one = list[tuple[str, Any]](), {name: list[tuple[str, Any]]() for name in names}
    for text, value in items:
        path = text if is_mapping else text.partition("=")[0]
        first, *rest = path.split(".", 2)
        if first != STAGES:
            for_all.append((text, value))
        elif len(rest) < 2:
            raise ConfigError(f"override {text!r}: write it as stages.NAME.key.path=value")
        elif rest[0] not in for_one:
            raise ConfigError(f"override {text!r}: there is no stage {rest[0]}; {nearest(rest[0], names)}")
        else:
            for_one[rest[0]].append((text.removeprefix(f"{STAGES}.{rest[0]}."), value))

    def as_given(pairs: list[tuple[str, Any]]) -> Overrides:
        return dict(pairs) if is_mapping else [item for item, _ in pairs]

    return as_given(for_all), {name: as_given(pairs) for name, pairs in for_one.items()}


def _stage(number: int, name: str, settings: dict[str, Any], earlier: list[str], build: Build) -> Stage:
    given = {**settings}
    start = given.pop("from", earlier[-1] if earlier else BASE)
    findings = list(_start_findings(start, earlier, given))
    recipe, taken = None, dict[str, Taken]()
    try:
        given, taken = take_out(given)
        recipe = build(given)
    except ConfigError as error:
        findings += lines_of(error)
    findings += [
        f"{key}.stage={value.stage}: {_no_earlier(value.stage, earlier)}"
        for key, value in taken.items()
        if value.stage not in earlier
    ]
    if findings or recipe is None:
        raise ConfigError("\n".join(findings))
    is_folder = start not in (BASE, *earlier)
    return Stage(number, name, with_value(recipe, "lora.init", start if is_folder else None), start, taken)


def _start_findings(start: Any, earlier: list[str], given: Mapping[str, Any]) -> Iterator[str]:
    lora = given.get("lora")
    if isinstance(lora, Mapping) and lora.get("init") is not None:
        yield f"lora.init={lora['init']}: of a stage `from` says where it starts; write from: {lora['init']}"
    if not isinstance(start, str):
        yield f"from={shortened(start)}: name an earlier stage, a folder, or {BASE}"
    elif start not in (BASE, *earlier) and "/" not in start:
        yield f"from={start}: {_no_earlier(start, earlier)}, or write {BASE}, or a folder with a / in it"


def _no_earlier(name: str, earlier: list[str]) -> str:
    return f"there is no such stage before it; {nearest(name, earlier)}" if earlier else "no stage is before it"
