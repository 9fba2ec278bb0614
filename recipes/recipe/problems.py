"""The problems of a recipe as the model is given them, and the golds that prove them scorable."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from doubleback.eval.prompts.prompt import PromptConfig, conversation, fill, read_prompt
from doubleback.eval.prompts.rendering import prompted
from doubleback.eval.suites.suite import Item
from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.tasks.task import Splits, Task, find_task
from doubleback.rewards.checks.golds import Unscorable, refuse_unscorable, unscorable
from doubleback.rewards.compose.reward import Reward
from doubleback.rewards.jsonl import refuse
from doubleback.rewards.settings import validated
from doubleback.rewards.types import ConfigError, Problem, lines_of
from doubleback.rl.engines.engine import encode_prompt

OVERLONG = "task.overlong=skip"
"""Why a row is left out whose prompt, or given completion, is too long."""


def asked(task: Task) -> Splits:
    """The problems of the task, each question put as task.prompt says; for a chat model the question alone, until its
    template is known (`in_template`).

    ConfigError where it is no prompt, or a mode of thinking or several messages are for chat models alone.
    """
    prompt = _prompt(task)
    return task.splits() if prompt.kind == "chat" else _put(task.splits(), task, prompt, tokenizer=None)


def in_template(splits: Splits, task: Task, tokenizer: Any) -> Splits:
    """The `asked` problems as the model reads them: with a prompt for chat models, in the tokenizer's chat template.

    ConfigError where it has none, or cannot be rendered.
    """
    prompt = _prompt(task)
    if prompt.kind == "completion":
        return splits
    if not tokenizer.chat_template:
        raise ConfigError(
            f"task.prompt={task.prompt} is for chat models, and the tokenizer of model.path has no chat template; "
            "take a prompt for base models, as r1_zero"
        )
    return _put(splits, task, prompt, tokenizer)


def texts(splits: Splits, task: Task) -> list[str]:
    """What the model may be given to read, for a tokenizer that is made of it."""
    prompt = _prompt(task)
    said = [turn["content"] for turn in conversation(prompt, "")] if prompt.kind == "chat" else []
    return [*said, *(fill(prompt, problem.prompt) for problem in splits.everything)]


def is_chat(task: Task) -> bool:
    """Whether task.prompt is for chat models."""
    return _prompt(task).kind == "chat"


def _put(splits: Splits, task: Task, prompt: PromptConfig, tokenizer: Any) -> Splits:
    def put(problems: Sequence[Problem]) -> Sequence[Problem]:
        items = [Item(problem.id, problem.prompt, problem.columns, problem.history) for problem in problems]
        try:
            return prompted(items, prompt, tokenizer, task.thinking, task.convention).problems
        except ConfigError as error:
            raise ConfigError(_placed(str(error), splits.places)) from error

    return splits.each(put)


def _placed(message: str, places: Mapping[str, str]) -> str:
    """A message about `problem ID` with the file and line of that in its place, where they are known."""
    word, _, rest = message.partition(" ")
    identity, _, said = rest.partition(": ")
    return f"{places[identity]}: {said}" if word == "problem" and identity in places else f"task: {message}"


def _prompt(task: Task) -> PromptConfig:
    try:
        return read_prompt(task.prompt)
    except ConfigError as error:
        raise ConfigError("\n".join(lines_of(error, "task.prompt: "))) from None


def fitting(splits: Splits, recipe: Recipe, tokenizer: Any) -> tuple[Splits, int]:
    """The problems whose prompt and completion fit model.max_length, and the longest prompt in tokens.

    ConfigError where there are others, unless task.overlong=skip leaves them out, or where a split would be left empty.
    """
    max_tokens, max_length = recipe.sampling.max_tokens, recipe.model.max_length
    lengths = {problem.id: len(encode_prompt(problem, tokenizer)) for problem in splits.everything}
    lines = {
        identity: f"{splits.places.get(identity, f'problem {identity}')}: prompt of {length} tokens + "
        f"sampling.max_tokens={max_tokens} exceeds model.max_length={max_length}"
        for identity, length in lengths.items()
        if length + max_tokens > max_length
    }
    ways_out = "raise model.max_length, lower sampling.max_tokens"
    if lines and recipe.task.overlong == "refuse":
        refuse(list(lines.values()), f"; {ways_out}, or leave such rows out with task.overlong=skip")
    kept = splits.each(lambda problems: [problem for problem in problems if problem.id not in lines])
    parts = {"train": kept.train, "validation": kept.validation, "test": kept.test}
    if lines and (empty := [name for name, part in parts.items() if not part]):
        raise ConfigError(f"task.overlong=skip leaves no problem for {' and '.join(empty)}; {ways_out}")
    longest = max(lengths[problem.id] for problem in kept.everything)
    skipped = {**kept.skipped, OVERLONG: list(lines.values())} if lines else kept.skipped
    return replace(kept, skipped=skipped), longest


def task_problems(section: Mapping[str, Any], split: str) -> Sequence[Problem]:
    """The problems of a suite's section `task`: the questions of one of its splits."""
    task = validated(find_task(str(section.get("name"))), section, "suite: task.")
    problems: Sequence[Problem] = getattr(task.splits(), split)
    return problems


def scorable(
    splits: Splits, task: Task, reward: Reward, observe: Callable[[float], None] = lambda share: None
) -> tuple[Splits, list[Unscorable]]:
    """The problems whose gold is graded correct, and the others. ConfigError where there are others to be kept.

    A problem without a gold is taken as it is.
    """
    reward.require_columns(splits.everything)
    golds = {problem.id: gold for problem in splits.everything if (gold := task.gold(problem)) is not None}
    rejected = unscorable([problem for problem in splits.everything if problem.id in golds], golds, reward, observe)
    if not task.drop_unscorable:
        refuse_unscorable(rejected, "mend the data or the reward, or leave them out with task.drop_unscorable=true")
    dropped = {item.problem.id for item in rejected}
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    kept = {name: [problem for problem in part if problem.id not in dropped] for name, part in parts.items()}
    if empty := [name for name, part in kept.items() if not part]:
        refuse_unscorable(rejected, f"task.drop_unscorable=true leaves no problem for {' and '.join(empty)}")
    return replace(splits, train=kept["train"], validation=kept["validation"], test=kept["test"]), rejected
