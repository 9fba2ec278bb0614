"""The problems of a recipe as the model is given them, and the golds that prove them scorable."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from doubleback.eval.prompts.prompt import fill, read_prompt
from doubleback.recipes.tasks.task import Splits, Task, find_task
from doubleback.rewards.checks.golds import Unscorable, refuse_unscorable, unscorable
from doubleback.rewards.compose.reward import Reward
from doubleback.rewards.settings import validated
from doubleback.rewards.types import ConfigError, Problem


def asked(task: Task) -> Splits:
    """The problems of the task, each question put as task.prompt says. ConfigError where that is no prompt."""
    try:
        prompt = read_prompt(task.prompt)
    except ConfigError as error:
        raise ConfigError("\n".join(f"task.prompt: {line}" for line in str(error).splitlines())) from None
    if prompt.kind != "completion":
        raise ConfigError(
            f"task.prompt={task.prompt} is for chat models; a recipe takes one for base models, as r1_zero"
        )

    def put(problems: Sequence[Problem]) -> list[Problem]:
        return [replace(problem, prompt=fill(prompt, problem.prompt)) for problem in problems]

    splits = task.splits()
    return Splits(put(splits.train), put(splits.validation), put(splits.test))


def task_problems(section: Mapping[str, Any], split: str) -> Sequence[Problem]:
    """The problems of a suite's section `task`: the questions of one of its splits."""
    task = validated(find_task(str(section.get("name"))), section, "suite: task.")
    problems: Sequence[Problem] = getattr(task.splits(), split)
    return problems


def scorable(splits: Splits, task: Task, reward: Reward) -> tuple[Splits, list[Unscorable]]:
    """The problems whose gold is graded correct, and the others. ConfigError where there are others to be kept.

    A problem without a gold is taken as it is.
    """
    reward.require_columns(splits.everything)
    golds = {problem.id: gold for problem in splits.everything if (gold := task.gold(problem)) is not None}
    rejected = unscorable([problem for problem in splits.everything if problem.id in golds], golds, reward)
    if not task.drop_unscorable:
        refuse_unscorable(rejected, "mend the data or the reward, or leave them out with task.drop_unscorable=true")
    dropped = {item.problem.id for item in rejected}
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    kept = {name: [problem for problem in part if problem.id not in dropped] for name, part in parts.items()}
    if empty := [name for name, part in kept.items() if not part]:
        refuse_unscorable(rejected, f"task.drop_unscorable=true leaves no problem for {' and '.join(empty)}")
    return Splits(**kept), rejected
