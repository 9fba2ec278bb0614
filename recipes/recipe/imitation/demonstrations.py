"""The completions that a recipe of `kind: sft` learns from, each for a training problem of its task."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from doubleback.recipes.recipe.problems import OVERLONG
from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.tasks.task import Splits
from doubleback.rewards.answers.messages import question_text
from doubleback.rewards.checks.columns import TEXT_KEYS, stored_text
from doubleback.rewards.jsonl import Row, keys_in_words, refuse
from doubleback.rewards.nearest import nearest
from doubleback.rewards.rows import Source, read_data
from doubleback.rewards.types import ConfigError, Problem
from doubleback.rl.rollout.given import encode_given
from doubleback.rl.run.names import KEPT, is_run

GOLD = "gold"


@dataclass(frozen=True, slots=True)
class Demonstrated:
    """Problems with the completion of each."""

    splits: Splits
    """With a training problem for each completion; the second of one problem is called ID#2."""
    completions: Mapping[str, str]
    """Id of a training problem -> text."""


def demonstrated(splits: Splits, recipe: Recipe, tokenizer: Any) -> Demonstrated:
    """The training problems for which recipe.demonstrations has a completion, prompts as they are in `splits`.

    ConfigError, a line a file, for rows of other problems, for completions that do not fit model.max_length unless
    task.overlong=skip leaves them out, and where nothing is left.
    """
    config, max_length = recipe.demonstrations, recipe.model.max_length
    given = _limited(_given(splits, recipe), config.limit, recipe.seed)
    long, kept, count = [], [], Counter[str]()
    for problem, text in given:
        ids = encode_given(problem, text, tokenizer, config.learn_prompts)
        if (length := sum(map(len, ids))) > max_length:
            what = f"problem {problem.id}: prompt and completion of {length} tokens"
            long.append(f"{what} exceed model.max_length={max_length}")
            continue
        count[problem.id] += 1
        number = count[problem.id]
        kept.append((problem if number == 1 else replace(problem, id=f"{problem.id}#{number}"), text))
    if long and recipe.task.overlong == "refuse":
        refuse(long, "; raise model.max_length, or leave such rows out with task.overlong=skip")
    if not kept:
        raise ConfigError(f"demonstrations.source={config.source} has no completion that fits model.max_length")
    skipped = {**splits.skipped, OVERLONG: [*splits.skipped.get(OVERLONG, ()), *long]} if long else splits.skipped
    splits = replace(splits, train=[problem for problem, _ in kept], skipped=skipped)
    return Demonstrated(splits, {problem.id: text for problem, text in kept})


def _given(splits: Splits, recipe: Recipe) -> list[tuple[Problem, str]]:
    """Training problems with what the source has for them."""
    source, traces = recipe.demonstrations.source, recipe.task.traces()
    if source == GOLD:
        return _golds(splits, recipe)
    if source in traces:
        written = [(problem, traces[source](problem, recipe.seed)) for problem in splits.train]
        return [(problem, text) for problem, text in written if text is not None]
    return _rows(splits, recipe)


def _limited(given: list[tuple[Problem, str]], limit: int | None, seed: int) -> list[tuple[Problem, str]]:
    """`limit` of them, in their order. ConfigError where there are fewer."""
    if limit is None:
        return given
    if limit > len(given):
        raise ConfigError(f"demonstrations.limit={limit}: the source has {len(given)} completions; lower it")
    return [given[index] for index in sorted(Random(f"{seed}:demonstrations").sample(range(len(given)), limit))]


def _golds(splits: Splits, recipe: Recipe) -> list[tuple[Problem, str]]:
    given = [(problem, recipe.task.gold(problem)) for problem in splits.train]
    if lacking := next((problem for problem, text in given if text is None), None):
        raise ConfigError(
            f"demonstrations.source=gold: task {recipe.task.name} has no gold for problem {lacking.id}; give a file"
        )
    return [(problem, text) for problem, text in given if text is not None]


def _rows(splits: Splits, recipe: Recipe) -> list[tuple[Problem, str]]:
    name = _file_of(recipe.demonstrations.source)
    if name.isidentifier() and not Path(name).exists():
        names = nearest(name, [GOLD, *recipe.task.traces()])
        raise ConfigError(f"demonstrations.source={name} is no source of task {recipe.task.name}, and no file; {names}")
    data = read_data(Source(name, way_out="give a file: demonstrations.source=FILE"), [TEXT_KEYS])
    refuse(data.bad)
    by_id = {problem.id: problem for problem in splits.train}
    questions = recipe.task.splits().train if any("problem" not in row.data for row in data.rows) else []
    by_question = {problem.prompt: by_id[problem.id] for problem in questions if problem.id in by_id}
    given, bad = [], []
    for row in data.rows:
        try:
            given.append((_problem(row, by_id, by_question), _text(row)))
        except ValueError as error:
            bad.append(f"{name}:{row.number}: {error}")
    refuse(bad)
    return given


def _file_of(source: str) -> str:
    """The file of rows that `demonstrations.source` names: of a run of `kind: sample`, what it kept."""
    if not is_run(Path(source)):
        return source
    if not (kept := Path(source) / KEPT).exists():
        raise ConfigError(
            f"demonstrations.source={source} is a run without {KEPT}, which kind=sample writes at its end; resume it, "
            "or name a file"
        )
    return str(kept)


def _problem(row: Row, by_id: Mapping[str, Problem], by_question: Mapping[str, Problem]) -> Problem:
    """ValueError where the row names no training problem."""
    if (identity := row.data.get("problem")) is not None:
        key, known = str(identity), by_id
    elif (question := row.data.get("question")) is not None:
        key, known = question_text(question), by_question
    else:
        raise ValueError(f"neither 'problem' nor 'question'; the row has {keys_in_words(row.data)}")
    if key not in known:
        raise ValueError(f"{key[:80]!r} is no training problem of the task; demonstrations are given for those")
    return known[key]


def _text(row: Row) -> str:
    """ValueError where it holds no text, or none at all."""
    text = stored_text(row.data)
    if not text.strip():
        raise ValueError("the completion is empty")
    return text
