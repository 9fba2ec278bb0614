"""The problems of all strands, each put, graded and measured by its own recipe, as the problems of one run."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import combinations, zip_longest
from typing import Any

from doubleback.recipes.recipe.mixture.strands import Strand, strands
from doubleback.recipes.recipe.problems import asked, fitting, in_template, is_chat, scorable, texts
from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.tasks.task import Splits
from doubleback.rewards.checks.golds import Unscorable
from doubleback.rewards.compose.reward import Reward, load_reward
from doubleback.rewards.types import ConfigError, Problem, lines_of
from doubleback.rl.rollout.mixture import MixedScorer
from doubleback.rl.rollout.scoring import Scorer
from doubleback.rl.rollout.strand import in_strand


@dataclass(frozen=True, slots=True)
class Graded:
    """The problems of a strand that its reward accepts the golds of."""

    strand: Strand
    splits: Splits
    dropped: list[Unscorable]
    reward: Reward


def graded(recipe: Recipe, stack: ExitStack, observe: Callable[[float], None]) -> list[Graded]:
    """Each strand's problems and reward, golds graded; the rewards are closed with the `stack`.

    `observe` is told which share of the golds is graded. ConfigError as `scorable` has it.
    """
    found = strands(recipe)
    return [_graded(strand, stack, _share(observe, index, len(found))) for index, strand in enumerate(found)]


def read_texts(parts: Sequence[Graded]) -> tuple[list[str], bool]:
    """What the model may be given to read, and whether any of it is for chat models."""
    tasks = [part.strand.recipe.task for part in parts]
    said = [text for part, task in zip(parts, tasks, strict=True) for text in texts(part.splits, task)]
    return said, any(map(is_chat, tasks))


def together(parts: Sequence[Graded], tokenizer: Any) -> tuple[Splits, int]:
    """The problems as the model reads them, and the longest prompt in tokens: of one strand as they are, of several
    under the strands' names, in turns.

    ConfigError where a prompt does not fit, or two modes put a question alike.
    """
    fitted = []
    for part in parts:
        task = part.strand.recipe.task
        fitted.append(fitting(in_template(part.splits, task, tokenizer), part.strand.recipe, tokenizer))
    longest = max(length for _, length in fitted)
    if len(parts) == 1:
        return fitted[0][0], longest
    put = [(part.strand, splits) for part, (splits, _) in zip(parts, fitted, strict=True)]
    _refuse_equal_prompts(put)
    return _merged([_renamed(splits, strand) for strand, splits in put]), longest


def scorer_of(parts: Sequence[Graded]) -> Scorer:
    """Who scores the problems of `together`."""
    return parts[0].reward if len(parts) == 1 else MixedScorer({part.strand.name: part.reward for part in parts})


def _graded(strand: Strand, stack: ExitStack, observe: Callable[[float], None]) -> Graded:
    recipe = strand.recipe
    try:
        reward = stack.enter_context(load_reward(recipe.reward, recipe.sampling.max_tokens))
        splits, dropped = scorable(_told(asked(recipe.task), strand), recipe.task, reward, observe)
    except ConfigError as error:
        raise ConfigError("\n".join(lines_of(error, f"{strand.name}: " if strand.name else ""))) from error
    return Graded(strand, splits, dropped, reward)


def _share(observe: Callable[[float], None], index: int, count: int) -> Callable[[float], None]:
    return lambda share: observe((index + share) / count)


def told(problems: Sequence[Problem], thinking: bool | None) -> list[Problem]:
    """The problems with the column `thinking` of their mode, which rewards read; as they are where none is asked."""
    if thinking is None:
        return list(problems)
    return [replace(problem, columns={**problem.columns, "thinking": thinking}) for problem in problems]


def _told(splits: Splits, strand: Strand) -> Splits:
    return splits.each(lambda problems: told(problems, strand.thinking))


def _renamed(splits: Splits, strand: Strand) -> Splits:
    named = splits.each(lambda problems: [in_strand(problem, strand.name) for problem in problems])
    skipped = {key: [f"{strand.name}: {line}" for line in lines] for key, lines in splits.skipped.items()}
    places = {in_strand(Problem(name, ""), strand.name).id: place for name, place in splits.places.items()}
    return replace(named, skipped=skipped, places=places)


def _merged(parts: Sequence[Splits]) -> Splits:
    keys = dict.fromkeys(key for part in parts for key in part.skipped)
    return Splits(
        _in_turns([part.train for part in parts]),
        _in_turns([part.validation for part in parts]),
        _in_turns([part.test for part in parts]),
        {key: [line for part in parts for line in part.skipped.get(key, ())] for key in keys},
        {name: place for part in parts for name, place in part.places.items()},
    )


def _in_turns(parts: Sequence[Sequence[Problem]]) -> list[Problem]:
    """One of each as long as there are any, so that the first few are of every strand."""
    return [problem for turn in zip_longest(*parts) for problem in turn if problem is not None]


def _refuse_equal_prompts(put: Sequence[tuple[Strand, Splits]]) -> None:
    modes = [(it.name, {row.id: row.prompt for row in splits.train}) for it, splits in put if it.is_mode]
    lines = [
        f"modes.{one} and modes.{other} put problem {alike} alike; give modes.{other}.prompt a text of its own, "
        "or take a model whose chat template has a switch"
        for (one, first), (other, second) in combinations(modes, 2)
        if (alike := next((name for name, text in first.items() if second.get(name) == text), None))
    ]
    if lines:
        raise ConfigError("\n".join(lines))
