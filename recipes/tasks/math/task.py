"""Questions with answers as a task: read from files or the hub, split by a hash of each question."""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from doubleback.eval.prompts.prompt import HOLE, read_prompt
from doubleback.eval.suites.hub import hub_rows
from doubleback.recipes.tasks.task import Splits, Task
from doubleback.rewards.answers.grade import gold_answers, gold_completion
from doubleback.rewards.answers.messages import question_text
from doubleback.rewards.jsonl import Row, given_rows, read_rows, refuse
from doubleback.rewards.types import ConfigError, Problem

HUB, EXAMPLE = "hub:", "hub:openai/gsm8k:main:train"


class Math(Task):
    """Questions with answers, from files of JSON lines or from the hub."""

    train: str | list[dict[str, Any]]
    """The training problems: a file of JSON lines, hub:OWNER/NAME:CONFIG:SPLIT, or the rows themselves."""
    test: str | list[dict[str, Any]]
    """The test problems, for the table before and after; given in the same way."""
    validation_problems: Annotated[int, Field(ge=1)] = 64
    """Training problems that are kept for validation instead, chosen by a hash of the question."""
    question: str = "question"
    """The field that holds the question."""
    answer: str = "answer"
    """The field that holds the gold: text, a number, a GSM8K solution, or a list of which any is right."""
    prompt: str = "{question}\nPut the final answer in \\boxed{}.\n"
    """As for every task."""
    style: Literal["think_answer", "boxed", "hash", "answer_is", "last_number", "flexible"] | None = None
    """The form in which a gold is stated when it is graded before training. Default: the one that a named prompt asks
    for, `boxed` with a text of one's own."""

    def splits(self) -> Splits:
        """The problems of both sources. ConfigError where they share a question, or too few are left to train on."""
        training, test = self._read("train"), self._read("test")
        both = {problem.id for problem in training} & {problem.id for problem in test}
        if both:
            places = f"{self._place('train')} and {self._place('test')}"
            raise ConfigError(f"{places} share {len(both)} questions; leave them out of one")
        by_hash = sorted(training, key=lambda problem: problem.id)
        if len(by_hash) <= self.validation_problems:
            raise ConfigError(
                f"task.validation_problems={self.validation_problems} leaves none of the {len(by_hash)} problems of "
                f"{self._place('train')} for training; lower it"
            )
        chosen = {problem.id for problem in by_hash[: self.validation_problems]}
        train = [problem for problem in training if problem.id not in chosen]
        return Splits(train, [problem for problem in training if problem.id in chosen], test)

    def gold(self, problem: Problem) -> str:
        """The gold answer in the form of task.style."""
        return gold_completion(problem.columns["answer"], self._style)

    @cached_property
    def _style(self) -> str:
        return self.style or ("boxed" if HOLE in self.prompt else read_prompt(self.prompt).style)

    def _place(self, key: str) -> str:
        """The key with what it says, for messages; rows stand for themselves."""
        source = getattr(self, key)
        return f"task.{key}={source}" if isinstance(source, str) else f"task.{key}"

    def _read(self, key: str) -> list[Problem]:
        """The problems of `train` or `test`. ConfigError names bad rows, and questions that come twice."""
        read: dict[str, Problem] = {}
        bad = []
        source = getattr(self, key)
        place = source if isinstance(source, str) else f"task.{key}"
        for row in self._rows(source, place):
            try:
                question = question_text(row.data[self.question])
                gold_answers(row.data[self.answer])
            except (ConfigError, ValueError) as error:
                bad.append(f"{place}:{row.number}: {error}")
                continue
            identity = hashlib.sha256(question.encode()).hexdigest()[:16]
            columns = {**row.data, "question": question, "answer": row.data[self.answer]}
            if identity in read:
                bad.append(f"{place}:{row.number}: the same question as problem {identity} before")
            read[identity] = Problem(identity, question, columns)
        refuse(bad)
        return list(read.values())

    def _rows(self, source: str | list[dict[str, Any]], place: str) -> list[Row]:
        """The rows of a file or of a dataset on the hub, or those given."""
        fields = [(self.question,), (self.answer,)]
        if not isinstance(source, str):
            return given_rows(source, place, fields)
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
