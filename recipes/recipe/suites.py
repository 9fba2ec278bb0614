"""What a run is measured on in training: its validation and test problems, and the suites of `eval.suites`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from doubleback.eval.judge import load_judge
from doubleback.eval.measures.measure import Measure
from doubleback.eval.prompts.prompt import read_prompt
from doubleback.eval.prompts.rendering import prompted
from doubleback.eval.suites.suite import load_suite
from doubleback.recipes.recipe.mixture.strands import Strand, own_problems, strands
from doubleback.recipes.recipe.problems import task_problems
from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.tasks.task import Splits, shipped_measures
from doubleback.rewards.sample_lines import Line
from doubleback.rewards.types import ConfigError, Problem
from doubleback.rl.engines.engine import encode_prompts
from doubleback.rl.rollout.scoring import Scorer
from doubleback.rl.rollout.strand import strand_of
from doubleback.rl.types import Sampling


@dataclass(frozen=True, slots=True)
class MeasuredSuite:
    """What one evaluation of a step samples, and who judges it."""

    problems: Sequence[Problem]
    sampling: Sampling
    ks: Sequence[int]
    """The k of pass@k among the metrics."""
    scorer: Scorer
    measures: Mapping[str, Measure]
    strands: Sequence[Strand] = field(default_factory=tuple)
    """Whose problems these are, where a run has several tasks or modes: each is measured by itself too."""

    def apart(self, suite: str, lines: Sequence[Line]) -> Iterator[tuple[str, Sequence[Line], Mapping[str, Measure]]]:
        """(what it is called, its samples, its measures) of the `suite` as a whole, then of each strand in it."""
        yield suite, lines, self.measures
        for strand in self.strands:
            own = [line for line in lines if strand_of(line["problem"]) == strand.name]
            if own:
                yield f"{suite}-{strand.name}", own, strand.recipe.task.measures


def own_suites(recipe: Recipe, splits: Splits, reward: Scorer) -> dict[str, MeasuredSuite]:
    """`validation` and `test`, judged by the recipe's reward; of several strands as many problems each."""
    settings, found = recipe.eval, strands(recipe)
    measures = {name: measure for it in found for name, measure in it.recipe.task.measures.items()}
    named = found if len(found) > 1 else ()

    def suite(problems: Sequence[Problem], most: int | None, n: int, ks: Sequence[int]) -> MeasuredSuite:
        chosen = [problem for it in found for problem in own_problems(problems, it)[:most]]
        return MeasuredSuite(chosen, recipe.sampling.sampling(n), ks, reward, measures, named)

    return {
        "validation": suite(splits.validation, settings.validation_problems, settings.validation_n, [1]),
        "test": suite(splits.test, settings.test_problems, settings.n, settings.k),
    }


def further_suites(recipe: Recipe, tokenizer: Any, max_length: int, stack: ExitStack) -> dict[str, MeasuredSuite]:
    """The suites that `eval.suites` names, by their names: prompt, judge, longest completion and measures are those of
    `doubleback eval`, the temperature is the recipe's. Judges are closed with the `stack`.

    ConfigError where there is no such suite, or its prompts do not fit.
    """
    return {Path(given).stem: _further(given, recipe, tokenizer, max_length, stack) for given in recipe.eval.suites}


def _further(given: str, recipe: Recipe, tokenizer: Any, max_length: int, stack: ExitStack) -> MeasuredSuite:
    suite = load_suite(given, task_problems=task_problems)
    has_template = bool(tokenizer.chat_template) and suite.config.chat_prompt is not None
    prompt = read_prompt(str(suite.config.chat_prompt if has_template else suite.config.prompt))
    if prompt.kind == "chat" and not tokenizer.chat_template:
        raise ConfigError(f"eval.suites={given}: its prompt is for chat models, and the tokenizer has no chat template")
    # A prompt for base models can say no mode of thinking: such a suite is measured without one.
    thinking = recipe.task.thinking if prompt.kind == "chat" else None
    found = prompted(
        suite.items[: recipe.eval.validation_problems], prompt, tokenizer, thinking, recipe.task.convention
    ).problems
    # A suite and the run may have a question in common, each with its own prompt.
    problems = [replace(problem, id=f"{suite.name}/{problem.id}") for problem in found]
    try:
        encode_prompts(problems, tokenizer, suite.config.max_tokens, max_length)
    except ConfigError as error:
        raise ConfigError(
            f"eval.suites={given} with its max_tokens={suite.config.max_tokens}: {error}; or take a suite of your own"
        ) from error
    judge = stack.enter_context(load_judge(suite.config, prompt, thinking))
    judge.require_columns(problems)
    sampling = Sampling(
        recipe.eval.validation_n, recipe.sampling.temperature, suite.config.max_tokens, tuple(prompt.stop)
    )
    return MeasuredSuite(problems, sampling, [1], judge, shipped_measures())
