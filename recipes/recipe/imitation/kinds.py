"""What a recipe may say by its `kind`: which sections are of another one, and which keys have no meaning in it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from doubleback.recipes.recipe.imitation.harvest import HarvestConfig
from doubleback.rl.config import DemonstrationsConfig, DistilConfig, ProblemsConfig
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.scale import ScaleConfig

if TYPE_CHECKING:
    from doubleback.recipes.recipe.schema import Recipe


def kind_findings(recipe: "Recipe") -> Iterator[str]:
    """A finding, with key, value and the way out, for all that the recipe's kind does not read."""
    yield from _of_other_kinds(recipe)
    if recipe.kind in UNFIT:
        yield from UNFIT[recipe.kind](recipe)
    if recipe.kind != "sample" and recipe.steps < 1:
        yield f"steps={recipe.steps} leaves kind={recipe.kind} nothing to do; set it to 1 or more"


def _of_other_kinds(recipe: "Recipe") -> Iterator[str]:
    demonstrations, discount = recipe.demonstrations, recipe.algorithm.teacher_discount
    given = {
        "sft": {f"demonstrations.source={demonstrations.source}": demonstrations != DemonstrationsConfig()},
        "sample": {"harvest": recipe.harvest != HarvestConfig()},
        "distil": {"distil": recipe.distil != DistilConfig(), f"algorithm.teacher_discount={discount}": discount > 0},
    }
    for kind, keys in given.items():
        for key in keys:
            if keys[key] and kind != recipe.kind:
                yield f"{key} is of kind={kind}, and kind={recipe.kind}; set the second, or leave the first out"


def _unfit_for_given(recipe: "Recipe") -> Iterator[str]:
    algorithm = recipe.algorithm
    unfit = {
        "trainer=trl": recipe.trainer == "trl",
        "rollout.ahead=true": recipe.rollout.ahead,
        f"rollout.max_rounds={recipe.rollout.max_rounds}": recipe.rollout.max_rounds > 1,
        "algorithm.old_logprobs=sampler": algorithm.old_logprobs == "sampler",
        f"algorithm.importance_cap={algorithm.importance_cap}": algorithm.applied_cap is not None,
        "algorithm.kl_in=reward": algorithm.has_kl_reward,
        "algorithm.routing_replay=true": algorithm.routing_replay,
    }
    for key in unfit:
        if unfit[key]:
            yield f"{key} is of completions that were sampled, and kind=sft; leave it out"


def _unfit_for_sampling(recipe: "Recipe") -> Iterator[str]:
    unfit = {
        "trainer=trl": recipe.trainer == "trl",
        "rollout.ahead=true": recipe.rollout.ahead,
        f"rollout.max_rounds={recipe.rollout.max_rounds}": recipe.rollout.max_rounds > 1,
        "algorithm": recipe.algorithm != AlgorithmConfig(),
        "problems": recipe.problems != ProblemsConfig(),
        "scale": recipe.scale != ScaleConfig(),
        f"checkpoint.best={recipe.checkpoint.best}": recipe.checkpoint.best is not None,
    }
    for key in unfit:
        if unfit[key]:
            yield f"{key} is of training, and kind=sample learns nothing; leave it out"
    if recipe.steps:
        yield f"steps={recipe.steps}: kind=sample trains no step; set it to 0, or leave it out"


def _unfit_for_a_teacher(recipe: "Recipe") -> Iterator[str]:
    if recipe.trainer == "trl":
        yield "trainer=trl has no teacher, and kind=distil; leave it out"
    if (rounds := recipe.rollout.max_rounds) > 1 and recipe.algorithm.advantage == "zero":
        yield f"rollout.max_rounds={rounds} looks for rewards that differ, and kind=distil learns of none; set it to 1"
    for key in ("model", "api_key_env"):
        if getattr(recipe.distil, key) is not None and recipe.distil.teacher is None:
            yield f"distil.{key}={getattr(recipe.distil, key)} is of a teacher, and none is named: set distil.teacher"


UNFIT = {"sft": _unfit_for_given, "sample": _unfit_for_sampling, "distil": _unfit_for_a_teacher}
"""Kind -> what of a recipe has no meaning in it."""
