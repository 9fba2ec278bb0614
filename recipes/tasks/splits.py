"""The problems that a recipe trains, tunes and tests on, and the golds that prove them scorable."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from doubleback.eval.prompts.prompt import load_prompt, shipped_prompts
from doubleback.eval.suites.hub import hub_rows
from doubleback.recipes.recipe.schema import TaskConfig
from doubleback.recipes.tasks.countdown.traces import TraceType, make_trace
from doubleback.rewards.answers.grade import gold_answers, gold_completion
from doubleback.rewards.builtin.countdown import Split, problems
from doubleback.rewards.checks.golds import Unscorable, refuse_unscorable, unscorable
from doubleback.rewards.compose.reward import Reward
from doubleback.rewards.jsonl import Row, read_rows, refuse
from doubleback.rewards.types import ConfigError, Problem

HUB, EXAMPLE = "hub:", "hub:openai/gsm8k:main:train"


@dataclass(frozen=True, slots=True)
class Splits:
    """Disjoint sets of problems."""

    train: Sequence[Problem]
    """For rollouts."""
    validation: Sequence[Problem]
    """For choosing settings and drawing the curve."""
    test: Sequence[Problem]
    """For the table before and after; never for a choice."""

    @property
    def everything(self) -> list[Problem]:
        return [*self.train, *self.validation, *self.test]


def load_splits(task: TaskConfig) -> Splits:
    """The problems of the task, split by the identity of each problem."""
    match task.name:
        case "countdown":
            return Splits(*(problems(task.num_numbers, split) for split in (Split.TRAIN, Split.VALIDATION, Split.TEST)))
        case "math":
            return _math_splits(task)


def scorable(splits: Splits, task: TaskConfig, reward: Reward) -> tuple[Splits, list[Unscorable]]:
    """The problems whose gold is graded correct, and the others. ConfigError where there are others to be kept."""
    reward.require_columns(splits.everything)
    golds = {problem.id: _gold(problem, task) for problem in splits.everything}
    found = unscorable(splits.everything, golds, reward)
    if not task.drop_unscorable:
        refuse_unscorable(found, "mend the data or the reward, or leave them out with task.drop_unscorable=true")
    dropped = {item.problem.id for item in found}
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    kept = {name: [problem for problem in part if problem.id not in dropped] for name, part in parts.items()}
    if empty := [name for name, part in kept.items() if not part]:
        refuse_unscorable(found, f"task.drop_unscorable=true leaves no problem for {' and '.join(empty)}")
    return Splits(**kept), found


def _gold(problem: Problem, task: TaskConfig) -> str:
    if task.name == "countdown":
        return make_trace(problem, TraceType.OPTIMAL, random.Random(problem.id))
    return gold_completion(problem.columns["answer"], task.style)


def _math_splits(task: TaskConfig) -> Splits:
    known = [_read(str(source), task) for source in (task.train, task.test)]
    both = {problem.id for problem in known[0]} & {problem.id for problem in known[1]}
    if both:
        raise ConfigError(f"task.train={task.train} and task.test={task.test} share {len(both)} questions")
    by_hash = sorted(known[0], key=lambda problem: problem.id)
    if len(by_hash) <= task.validation_problems:
        raise ConfigError(
            f"task.validation_problems={task.validation_problems} leaves none of the {len(by_hash)} problems of "
            f"task.train={task.train} for training; lower it"
        )
    chosen = {problem.id for problem in by_hash[: task.validation_problems]}
    train = [problem for problem in known[0] if problem.id not in chosen]
    return Splits(train, [problem for problem in known[0] if problem.id in chosen], known[1])


def _read(source: str, task: TaskConfig) -> list[Problem]:
    """The problems of a source. ConfigError names every row without a question or a gold, or with a known question."""
    found: dict[str, Problem] = {}
    bad = []
    template = _template(task.prompt)
    for row in _rows(source, task):
        question = str(row.data[task.question])
        identity = hashlib.sha256(question.encode()).hexdigest()[:16]
        columns = {**row.data, "question": question, "answer": row.data[task.answer]}
        try:
            gold_answers(columns["answer"])
            prompt = template.format(question=question)
        except ConfigError as error:
            bad.append(f"{source}:{row.number}: {error}")
            continue
        except (KeyError, IndexError, ValueError) as error:
            raise ConfigError(f"task.prompt={task.prompt!r}: {error!r}; it may hold {{question}} alone") from error
        if identity in found:
            bad.append(f"{source}:{row.number}: the same question as problem {identity} before")
        found[identity] = Problem(identity, prompt, columns)
    refuse(bad)
    return list(found.values())


def _rows(source: str, task: TaskConfig) -> list[Row]:
    """The rows of a file, or of a dataset on the hub."""
    fields = [(task.question,), (task.answer,)]
    if not source.startswith(HUB):
        return read_rows(Path(source), fields)
    parts = source.removeprefix(HUB).split(":")
    if len(parts) != 3 or not all(parts):
        raise ConfigError(f"task source {source}: write it as hub:OWNER/NAME:CONFIG:SPLIT, for example {EXAMPLE}")
    name, config, split = parts
    way_out = "give files of JSON lines: task.train=FILE task.test=FILE"
    rows = hub_rows(name, config, split, None, "the recipe", way_out)
    absent = [field for (field,) in fields if rows and field not in rows[0].data]
    if absent:
        raise ConfigError(f"{source} has no field {absent[0]!r} but {', '.join(rows[0].data)}; see task.question")
    return rows


def _template(prompt: str) -> str:
    """The prompt itself, or the text of one that comes with doubleback, as a format string."""
    if prompt not in shipped_prompts():
        return prompt
    known = load_prompt(prompt)
    if known.kind != "completion":
        raise ConfigError(f"task.prompt={prompt} is for chat models; a recipe takes one for base models, as r1_zero")
    return known.text.replace("{", "{{").replace("}", "}}").replace("{{question}}", "{question}")
