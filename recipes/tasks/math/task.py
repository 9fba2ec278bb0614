"""Questions with answers as a task: read from files or the hub, split by a hash of each question."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from doubleback.eval.prompts.prompt import HOLE, read_prompt
from doubleback.recipes.tasks.math.reading import (
    LeftOut,
    Read,
    divided,
    joined,
    level_number,
    refuse_by_source,
    require_gold,
)
from doubleback.recipes.tasks.task import Splits, Task
from doubleback.rewards.answers.grade import gold_completion
from doubleback.rewards.answers.messages import question_hash, row_question, template_fields
from doubleback.rewards.checks.columns import problem_columns
from doubleback.rewards.jsonl import Row, field, given_rows, keys_in_words
from doubleback.rewards.rows import Source, read_data
from doubleback.rewards.types import ConfigError, Problem, shortened

BAD, ONLY, TWICE, UNSCORABLE = "being bad", "task.only", "task.duplicates=skip", "task.drop_unscorable=true"
"""What leaves rows out, as it is called where they are counted."""
Value = str | int | bool


class Math(Task):
    """Questions with answers, from files of JSON lines or from the hub."""

    train: str | list[str | dict[str, Any]]
    """The training problems: a file (JSON lines, .json, Parquet, CSV; .gz too), a folder of `save_to_disk`, a hub id as
    OWNER/NAME:CONFIG:SPLIT (OWNER/NAME@REVISION for a branch, tag or commit of it), a list of these, or the rows
    themselves."""
    test: Annotated[float, Field(gt=0, lt=1)] | str | list[str | dict[str, Any]]
    """The test problems, for the table before and after: given in the same way, or the share of the training problems
    that is held out for them, chosen by a hash of the question."""
    duplicates: Literal["refuse", "skip"] = "refuse"
    """What a question that stands twice does, in one source or in both: end with its line, or be left out and counted;
    one that is tested is left out of training."""
    validation_problems: Annotated[int, Field(ge=1)] = 64
    """Training problems that are kept for validation instead, chosen by a hash of the question."""
    question: str = "question"
    """The field that holds the question, as text or as chat messages that end with the user's (those before it are
    kept, with a prompt for chat models); `outer.inner` for one inside. Or a text made of fields in braces:
    `{Body} {Question}`."""
    answer: str = "answer"
    """The field that holds the gold: text, a number, a GSM8K solution, or a list of which any is right. Inside another
    as for the question."""
    gold_form: Literal["hash", "boxed"] | None = None
    """How that field states the gold: `hash` behind the last ####, `boxed` in the last \\boxed{}; a row that does not
    has none, and its whole solution is not taken for one. `null`: either, or the field is the answer itself."""
    level: str | None = None
    """The field that says how hard a question is: a whole number, or a text with one in it (`Level 3`). Rewards and
    `problems.level` have it as the column `level`; a row that states none has the highest that any row has."""
    only: dict[str, Value | list[Value]] | None = None
    """Rows that are taken, the others are counted: field -> its value, or a list of which any will do."""
    keep: list[str] | None = None
    """Further fields of a row that rewards are given. `null`: all of them."""
    prompt: str = "{question}\nPut the final answer in \\boxed{}.\n"
    """As for every task."""
    style: Literal["think_answer", "boxed", "hash", "answer_is", "last_number", "flexible"] | None = None
    """The form in which a gold is stated when it is graded before training. Default: the one that a named prompt asks
    for, `boxed` with a text of one's own."""

    def splits(self) -> Splits:
        """The problems of both sources. ConfigError where they share a question, or too few are left to train on."""
        training = self._read("train")
        if isinstance(self.test, float):
            test, training = divided(training, self.test)
            if not test.problems:
                raise ConfigError(f"task.test={self.test} holds none of {self._place('train')} out; raise it")
        else:
            test = self._read("test")
            training = self._apart(training, test)
        by_hash = sorted(training.problems)
        if len(by_hash) <= self.validation_problems:
            raise ConfigError(
                f"task.validation_problems={self.validation_problems} leaves none of the {len(by_hash)} problems of "
                f"{self._place('train')} for training; lower it"
            )
        chosen = set(by_hash[: self.validation_problems])
        train = [problem for problem in training.problems.values() if problem.id not in chosen]
        validation = [problem for problem in training.problems.values() if problem.id in chosen]
        skipped = joined(training.skipped, test.skipped)
        places = {**training.places, **test.places}
        return Splits(train, validation, list(test.problems.values()), skipped, places)

    def _apart(self, training: Read, test: Read) -> Read:
        """The training problems that are not tested. ConfigError where there are others, unless they may be skipped."""
        both = training.problems.keys() & test.problems.keys()
        if both and self.duplicates == "refuse":
            places = f"{self._place('train')} and {self._place('test')}"
            raise ConfigError(
                f"{places} share {len(both)} questions; leave them out of one, or out of training with "
                "task.duplicates=skip"
            )
        kept = {identity: problem for identity, problem in training.problems.items() if identity not in both}
        lines = [
            f"{training.places[it]}: the question is tested, at {test.places[it]}"
            for it in training.problems
            if it in both
        ]
        return Read(kept, training.places, joined(training.skipped, {TWICE: lines} if lines else {}))

    def gold(self, problem: Problem) -> str:
        """The gold answer in the form of task.style."""
        return gold_completion(problem.columns["answer"], self._style)

    @cached_property
    def _style(self) -> str:
        return self.style or ("boxed" if HOLE in self.prompt else read_prompt(self.prompt).style)

    @cached_property
    def _template(self) -> str:
        return self.question if "{" in self.question else f"{{{self.question}}}"

    @cached_property
    def _kept(self) -> frozenset[str] | None:
        """The fields of a row that are kept, by the outer name where one lies inside another."""
        if self.keep is None:
            return None
        named = [*template_fields(self._template), self.answer, *(self.only or {}), *self.keep]
        named += [self.level] if self.level else []
        return frozenset({name for field in named for name in (field, field.partition(".")[0])})

    def _place(self, key: str) -> str:
        """The key with what it says, for messages; rows stand for themselves."""
        source = getattr(self, key)
        return f"task.{key}={source}" if isinstance(source, str) else f"task.{key}"

    def _read(self, key: str) -> Read:
        """The problems of `train` or `test`. ConfigError names bad rows and questions that come twice."""
        problems: dict[str, Problem] = {}
        places: dict[str, str] = {}
        lines: dict[str, dict[str, list[str]]] = {reason: {} for reason in (BAD, ONLY, UNSCORABLE, TWICE)}
        for source, row in self._rows(key):
            place = f"{source}:{row.number}"
            found = self._problem(row.data)
            if isinstance(found, Problem) and found.id in problems:
                found = LeftOut(TWICE, f"the same question as problem {found.id} before, at {places[found.id]}")
            if isinstance(found, LeftOut):
                lines[found.reason].setdefault(source, []).append(f"{place}: {found.why}")
            else:
                problems[found.id], places[found.id] = found, place
        refuse_by_source(lines[BAD])
        if not self.drop_unscorable:
            refuse_by_source(lines[UNSCORABLE], f"; {UNSCORABLE} leaves such rows out")
        if self.duplicates == "refuse":
            refuse_by_source(lines[TWICE], f"; {TWICE} leaves such rows out")
        skipped = {reason: [line for of_one in lines[reason].values() for line in of_one] for reason in lines}
        skipped = {reason: of_all for reason, of_all in skipped.items() if of_all}
        if not problems:
            reason, (first, *_) = next(iter(skipped.items()))
            raise ConfigError(f"{self._place(key)}: no row is left; the first was left out by {reason}: {first}")
        return Read(self._with_levels(key, problems), places, skipped)

    def _problem(self, row: Mapping[str, Any]) -> Problem | LeftOut:
        """The problem that a row holds, or why it is none."""
        for name, wanted in (self.only or {}).items():
            value = field(row, name)
            if value not in (wanted if isinstance(wanted, list) else [wanted]):
                return LeftOut(ONLY, f"{name}={shortened(value)}")
        answer = field(row, self.answer)
        try:
            question, history = row_question(row, self._template)
        except ValueError as error:
            return LeftOut(BAD, str(error))
        if not question.strip():
            return LeftOut(BAD, "the question is empty")
        if answer is None:
            return LeftOut(UNSCORABLE, f"no {self.answer!r}; the row has {keys_in_words(row)}")
        try:
            require_gold(answer, self.gold_form)
        except ConfigError as error:
            return LeftOut(UNSCORABLE, str(error))
        try:
            columns = {**problem_columns(row), "question": question, "answer": answer}
        except ConfigError as error:
            return LeftOut(BAD, str(error))
        if self.level is not None:
            columns["level"] = level_number(field(row, self.level))
        return Problem(question_hash(question, history), question, columns, history)

    def _with_levels(self, key: str, problems: dict[str, Problem]) -> dict[str, Problem]:
        """Every problem with a level. ConfigError where no row states one."""
        if self.level is None:
            return problems
        stated = [level for it in problems.values() if (level := it.columns["level"]) is not None]
        if not stated:
            raise ConfigError(f"task.level={self.level}: no row of {self._place(key)} states a whole number there")
        return {
            identity: problem
            if problem.columns["level"] is not None
            else replace(problem, columns={**problem.columns, "level": max(stated)})
            for identity, problem in problems.items()
        }

    def _rows(self, key: str) -> list[tuple[str, Row]]:
        """(source, row) of everything that the key gives."""
        given = getattr(self, key)
        fields = [(name,) for name in template_fields(self._template)]
        if isinstance(given, list) and not all(isinstance(item, str) for item in given):
            return [(f"task.{key}", row) for row in given_rows(given, f"task.{key}", fields, self._kept)]
        read = []
        bad: dict[str, list[str]] = {}
        for name in [given] if isinstance(given, str) else given:
            source = Source(name, key, way_out=f"give a file: task.{key}=FILE", fields=self._kept)
            data = read_data(source, fields)
            bad[name] = data.bad
            read += [(name, row) for row in data.rows]
        refuse_by_source(bad)
        if not read:
            raise ConfigError(f"task.{key} names no source; give a file")
        return read
