"""What a recipe may say by its `kind`: which sections are of another one, and which keys have no meaning in it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from doubleback.recipes.recipe.imitation.harvest import HarvestConfig
from doubleback.rl.config import DemonstrationsConfig, ProblemsConfig
from doubleback.rl.objective.config import AlgorithmConfig

if TYPE_CHECKING:
    from doubleback.recipes.recipe.schema import Recipe


def kind_findings(recipe: "Recipe") -> Iterator[str]:
    """A finding, with key, value and the way out, for all that the recipe's kind does not read."""
    if recipe.kind != "sft" and (given := recipe.demonstrations) != DemonstrationsConfig():
        yield f"demonstrations.source={given.source} is of kind=sft, and kind={recipe.kind}; set the second"
    if recipe.kind != "sample":
        if recipe.harvest != HarvestConfig():
            yield f"harvest is of kind=sample, and kind={recipe.kind}; set the second, or leave harvest out"
        if recipe.steps < 1:
            yield f"steps={recipe.steps} leaves kind={recipe.kind} nothing to do; set it to 1 or more"
    match recipe.kind:
        case "sft":
            yield from _unfit_for_given(recipe)
        case "sample":
            yield from _unfit_for_sampling(recipe)


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
        f"checkpoint.best={recipe.checkpoint.best}": recipe.checkpoint.best is not None,
    }
    for key in unfit:
        if unfit[key]:
            yield f"{key} is of training, and kind=sample learns nothing; leave it out"
    if recipe.steps:
        yield f"steps={recipe.steps}: kind=sample trains no step; set it to 0, or leave it out"
