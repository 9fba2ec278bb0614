"""The strands of a run: its recipe's tasks and modes, each as a recipe of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from doubleback.eval.judge import with_obedience
from doubleback.eval.prompts.prompt import read_prompt
from doubleback.recipes.recipe.mixture.config import MixedTask, ModeConfig, own_name, strand_names, thinking_of_mode
from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.tasks.task import Splits
from doubleback.rewards.types import Problem
from doubleback.rl.engines.engine import Engine
from doubleback.rl.rollout.mixture import MixedSource, StrandEngine
from doubleback.rl.rollout.problems import ProblemSource, Source
from doubleback.rl.rollout.strand import strand_of


@dataclass(frozen=True, slots=True)
class Strand:
    """One task in one mode."""

    name: str
    """What its problems, metrics and measurements are called by; empty where a run has no other."""
    weight: float
    """Its share of a step's problems, beside the weights of the others."""
    recipe: Recipe
    """The recipe of this strand alone: its task with its prompt, its reward, its longest completion."""
    thinking: bool | None = None
    """Whether it is to think. None: nothing is asked, or `recipe.task.thinking` says it."""
    is_mode: bool = False
    """Whether it is a mode of the recipe's own task."""


def strands(recipe: Recipe) -> list[Strand]:
    """The recipe's strands: its modes, or its own task, and then the tasks beside it. One without a name where it has
    nothing to mix.
    """
    if not strand_names(recipe):
        return [Strand("", 1.0, recipe)]
    own = [_mode(recipe, name, mode) for name, mode in recipe.modes.items()]
    own = own or [Strand(own_name(recipe), 1.0, _alone(recipe, {}))]
    return [*own, *(_beside(recipe, name, section) for name, section in recipe.mix.items())]


def modes(recipe: Recipe) -> list[Strand]:
    """The modes of the recipe's own task; none where it has one."""
    return [strand for strand in strands(recipe) if strand.is_mode]


def own_problems(problems: Sequence[Problem], strand: Strand) -> Sequence[Problem]:
    """Those of the problems of a run that are this strand's."""
    return [it for it in problems if strand_of(it.id) == strand.name] if strand.name else problems


def problem_source(recipe: Recipe, splits: Splits) -> Source:
    """Who draws the training problems: all strands by their weights, each in an order of its own."""
    found = strands(recipe)
    if len(found) == 1:
        return ProblemSource(splits.train, recipe.problems, recipe.seed)
    sources = {
        it.name: ProblemSource(own_problems(splits.train, it), recipe.problems, f"{recipe.seed}/{it.name}")
        for it in found
    }
    return MixedSource(sources, {it.name: it.weight for it in found})


def strand_engine(recipe: Recipe, engine: Engine) -> Engine:
    """The engine, which ends each strand's completions where the strand says; as it is where there is one alone."""
    longest = {it.name: it.recipe.sampling.max_tokens for it in strands(recipe) if it.name}
    return StrandEngine(engine, longest) if longest else engine


def _mode(recipe: Recipe, name: str, mode: ModeConfig) -> Strand:
    thinking = thinking_of_mode(name, mode)
    prompt = recipe.task.prompt if mode.prompt is None else mode.prompt
    # What a base model reads says the mode by itself; a chat template is told.
    told = thinking if read_prompt(prompt).kind == "chat" else None
    task = recipe.task.model_copy(update={"prompt": prompt, "thinking": told})
    reward = with_obedience(mode.reward or recipe.reward, thinking)
    alone = _alone(recipe, {"task": task, "reward": reward}, mode.max_tokens)
    return Strand(name, mode.weight, alone, thinking, is_mode=True)


def _beside(recipe: Recipe, name: str, section: MixedTask) -> Strand:
    changed = {"task": section.task, "reward": section.reward}
    return Strand(name, section.weight, _alone(recipe, changed, section.max_tokens))


def _alone(recipe: Recipe, changed: Mapping[str, Any], max_tokens: int | None = None) -> Recipe:
    longest = recipe.sampling.max_tokens if max_tokens is None else max_tokens
    sampling = recipe.sampling.model_copy(update={"max_tokens": longest})
    return recipe.model_copy(update={"modes": {}, "mix": {}, "sampling": sampling, **changed})
