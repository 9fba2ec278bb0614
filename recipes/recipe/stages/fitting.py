"""Whether stages fit together: bases and adapters that are handed on, and measurements that can be compared."""

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.recipe.stages.road import TRAINS_NOTHING, Stage

ALIKE = (
    *("seed", "eval.n", "eval.test_problems"),
    *("sampling.temperature", "sampling.max_tokens", "sampling.stop"),
)
"""What must be equal for the test problems of all stages to be measured alike."""
ADAPTER = (
    "model.path",
    "tiny",
    *(f"lora.{name}" for name in ("rank", "expert_rank", "alpha", "targets", "train_router")),
)
"""What must be equal for a stage to start from the adapter of another."""


def findings_between(stages: Sequence[Stage]) -> list[str]:
    """A line for each thing in which the stages do not fit together; each stage is a whole recipe by itself."""
    by_name = {stage.name: stage for stage in stages}
    measured = [stage for stage in stages if stage.recipe.kind not in TRAINS_NOTHING]
    found = [(stage, line) for stage in stages for line in [*_alone(stage), *_handed_on(stage, by_name)]]
    found += [(stage, line) for stage in measured[1:] for line in _differences(stage, measured[0], ALIKE, MEASURED)]
    return [f"stage {stage.name}: {line}" for stage, line in sorted(found, key=lambda pair: pair[0].number)]


MEASURED = "all stages are measured alike; write it among the keys of all"


def _alone(stage: Stage) -> Iterator[str]:
    if stage.recipe.trainer == "trl":
        yield "trainer=trl cannot go on where it stopped, as every stage must; leave it out"


def _handed_on(stage: Stage, by_name: Mapping[str, Stage]) -> Iterator[str]:
    if (start := by_name.get(stage.start)) is not None:
        yield from _differences(
            stage, start, ADAPTER, "it starts from that one's adapter; set it to that, or from: base"
        )
    for key, taken in stage.taken.items():
        if (kind := by_name[taken.stage].recipe.kind) not in taken.kinds:
            allowed = ", ".join(taken.kinds)
            yield f"{key}.stage={taken.stage} is of kind={kind}; name a stage of one of the kinds {allowed}"
        if kind == "sample" and taken != type(taken)(stage=taken.stage):
            yield f"{key}: of stage {taken.stage} its own section `harvest` says what is kept; leave stage alone here"


def _differences(stage: Stage, other: Stage, keys: Sequence[str], why: str) -> Iterator[str]:
    for key in keys:
        own, its = _value(stage.recipe, key), _value(other.recipe, key)
        if own != its:
            yield f"{key}={own}, and stage {other.name} has {its}: {why}"


def _value(recipe: Recipe, key: str) -> Any:
    return attrgetter(key)(recipe)
