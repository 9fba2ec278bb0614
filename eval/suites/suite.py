"""What a policy is measured on: problems from a file, a hub or an enumeration, with their golds and their judge."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from doubleback.rewards.answers.grade import gold_answers
from doubleback.rewards.answers.messages import Turn, question_hash, row_question, template_fields
from doubleback.rewards.checks.columns import problem_columns
from doubleback.rewards.compose.config import RewardConfig
from doubleback.rewards.contract.trust import named_code, require_approved
from doubleback.rewards.jsonl import Row, field, keys_in_words, refuse
from doubleback.rewards.nearest import nearest
from doubleback.rewards.rows import Source, read_data
from doubleback.rewards.settings import Section, load_section, read_yaml, shipped
from doubleback.rewards.types import ConfigError, Problem

FOLDER = Path(__file__).parent
SPLITS = ("train", "validation", "test")
"""What a task has."""
TaskProblems = Callable[[Mapping[str, Any], str], Sequence[Problem]]
"""(section `task`, split) -> the problems of a task, which belong to the layer above."""


class SuiteConfig(Section):
    """A YAML file of `eval/suites`, or one of your own."""

    description: str
    """One line for `doubleback list`."""
    source: str | None = None
    """A file (JSON lines, .json, Parquet, CSV), a folder of `save_to_disk`, or a hub id."""
    task: dict[str, Any] | None = None
    """Instead of a source: a task with its keys, as in a recipe."""
    config: str | None = None
    """Hub: name of the configuration."""
    split: str = "test"
    """Hub and task: the split."""
    revision: str | None = None
    """Hub: branch, tag or commit."""
    question: str = "{question}"
    """The question, made of the row's fields in braces."""
    answer: str = "answer"
    """The field that holds the gold: text, a number, a GSM8K solution, or a list of which any is right. `outer.inner`
    names a field inside another, here and in the question."""
    id: str | None = None
    """The field that names a row. Default: a hash of the question."""
    prompt: str = "plain"
    """Prompt for a model without chat template: a name of `eval/prompts`, a YAML file, or a text with `{question}`."""
    chat_prompt: str | None = None
    """Prompt for a model with one. Default: the same."""
    reward: RewardConfig | None = None
    """The judge, as in a recipe. Default: `math`, flexible, and once more strictly in the form the prompt asks for."""
    max_tokens: Annotated[int, Field(ge=1)] = 512
    """Longest completion in tokens."""

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.source is None) == (self.task is None):
            raise ValueError(f"source={self.source} and task={self.task}: a suite has one of the two")
        return self

    @field_validator("question")
    @classmethod
    def _has_a_field(cls, question: str) -> str:
        if not template_fields(question):
            raise ValueError(f"question={question!r} names no field of the row in braces, as {{question}} does")
        return question


@dataclass(frozen=True, slots=True)
class Item:
    """One question of a suite."""

    id: str
    """Unique in the suite."""
    question: str
    columns: Mapping[str, Any]
    """What rewards receive: the row's fields, with `question` and `answer`."""
    history: tuple[Turn, ...] = ()
    """What was said before the question."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite with its questions."""

    name: str
    config: SuiteConfig
    items: tuple[Item, ...]
    """In the order of the source."""
    data_sha256: str
    """Of the file's bytes; of the rows as canonical JSON where there is no file."""
    bad: tuple[str, ...]
    """A line for each row that was left out."""

    @property
    def task_name(self) -> str | None:
        """Of the task that it is on."""
        return None if self.config.task is None else str(self.config.task.get("name"))


def shipped_suites() -> dict[str, Path]:
    """The suites that come with doubleback, by name."""
    return shipped(FOLDER)


def load_config(name: str) -> tuple[str, SuiteConfig]:
    """(name, configuration) of a shipped suite or of a YAML file. ConfigError, one line a finding."""
    return Path(name).stem, load_section(name, FOLDER, SuiteConfig, "suite")


def code_of_suite(name: Any) -> list[tuple[str, str]]:
    """(key, location) of all code that a suite of one's own names; none of what is shipped, or no suite."""
    is_own = isinstance(name, str) and name not in shipped_suites() and Path(name).is_file()
    return list(named_code(read_yaml(Path(name), "suite"))) if is_own else []


def load_suite(
    name: str, data: Path | None = None, skip_bad: bool = False, task_problems: TaskProblems | None = None
) -> Suite:
    """The suite with its questions, from `data` instead of its source where that is given.

    A bad row (a missing field, an empty question, an unreadable gold, an id that was there before, no UTF-8) is named
    with its line; ConfigError for them all, or they are left out and kept in `Suite.bad` with `skip_bad`. A suite on a
    task asks `task_problems`. Code that a suite of one's own names is to be approved first.
    """
    require_approved(code_of_suite(name), f"suite {name}")
    name, config = load_config(name)
    if data is None and config.task is not None:
        return _of_task(name, config, config.task, task_problems)
    source = str(data or config.source)
    read = read_data(Source(source, config.split, config.config, config.revision, "give the rows with --data FILE"))
    bad = list(read.bad)
    items: dict[str, Item] = {}
    for row in read.rows:
        try:
            item = _item(row, config)
            if item.id in items:
                raise ValueError(f"id {item.id!r} was there before")
            items[item.id] = item
        except ValueError as error:
            bad.append(f"{source}:{row.number}: {error}")
    bad.sort(key=lambda line: int(line.removeprefix(f"{source}:").partition(":")[0]))
    if bad and not skip_bad:
        refuse(bad, " (--skip-bad leaves such rows out)")
    if not items:
        raise ConfigError(f"suite {name}: every row is bad; the first: {bad[0]}")
    return Suite(name, config, tuple(items.values()), read.sha256, tuple(bad))


def _item(row: Row, config: SuiteConfig) -> Item:
    """ValueError says what is wrong with the row."""
    needed = [*template_fields(config.question), config.answer, *([config.id] if config.id else [])]
    for name in needed:
        if field(row.data, name) is None:
            raise ValueError(f"no {name!r}; the row has {keys_in_words(row.data)}")
    question, history = row_question(row.data, config.question)
    question = question.strip()
    answer = field(row.data, config.answer)
    if not question:
        raise ValueError("the question is empty")
    try:
        gold_answers(answer)
        columns = problem_columns(row.data)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    identity = str(field(row.data, config.id)) if config.id else question_hash(question, history)
    return Item(identity, question, {**columns, "question": question, "answer": answer}, history)


def _of_task(name: str, config: SuiteConfig, task: Mapping[str, Any], task_problems: TaskProblems | None) -> Suite:
    if config.split not in SPLITS:
        raise ConfigError(
            f"suite {name}: split={config.split}: a task has no such split; {nearest(config.split, SPLITS)}"
        )
    if task_problems is None:
        raise ValueError(f"suite {name} is on a task; load_suite needs task_problems for it")
    items = tuple(Item(it.id, it.prompt, dict(it.columns), it.history) for it in task_problems(task, config.split))
    digest = hashlib.sha256("\n".join(item.id for item in items).encode()).hexdigest()
    return Suite(name, config, items, digest, ())
