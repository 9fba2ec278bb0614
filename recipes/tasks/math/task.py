"""Questions with answers as a task: read from files or the hub, split by a hash of each question."""

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from doubleback.eval.prompts.prompt import HOLE, read_prompt
from doubleback.recipes.tasks.math.reading import Read, divided, refuse_by_source
from doubleback.recipes.tasks.task import Splits, Task
from doubleback.rewards.answers.grade import gold_answers, gold_completion
from doubleback.rewards.answers.messages import question_hash, question_turns
from doubleback.rewards.jsonl import Row, field, given_rows
from doubleback.rewards.rows import Source, read_data
from doubleback.rewards.types import ConfigError, Problem


class Math(Task):
    """Questions with answers, from files of JSON lines or from the hub."""

    train: str | list[str | dict[str, Any]]
    """The training problems: a file (JSON lines, .json, Parquet, CSV; .gz too), a folder of `save_to_disk`, a hub id as
    OWNER/NAME:CONFIG:SPLIT, a list of these, or the rows themselves."""
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
    kept, with a prompt for chat models); `outer.inner` for one inside."""
    answer: str = "answer"
    """The field that holds the gold: text, a number, a GSM8K solution, or a list of which any is right. Inside another
    as for the question."""
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
        skipped = (*training.skipped, *test.skipped)
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
        return Read(kept, training.places, (*training.skipped, *lines))

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

    def _read(self, key: str) -> Read:
        """The problems of `train` or `test`. ConfigError names bad rows and questions that come twice."""
        problems: dict[str, Problem] = {}
        places: dict[str, str] = {}
        bad: dict[str, list[str]] = {}
        twice: dict[str, list[str]] = {}
        for source, row in self._rows(key):
            place = f"{source}:{row.number}"
            try:
                problem = self._problem(row)
            except (ConfigError, ValueError) as error:
                bad.setdefault(source, []).append(f"{place}: {error}")
                continue
            if problem.id in problems:
                line = f"{place}: the same question as problem {problem.id} before, at {places[problem.id]}"
                twice.setdefault(source, []).append(line)
                continue
            problems[problem.id], places[problem.id] = problem, place
        refuse_by_source(bad)
        if self.duplicates == "refuse":
            refuse_by_source(twice, "; task.duplicates=skip leaves such rows out")
        return Read(problems, places, tuple(line for lines in twice.values() for line in lines))

    def _problem(self, row: Row) -> Problem:
        """ConfigError or ValueError where the row has no question, or no gold."""
        question, history = question_turns(field(row.data, self.question))
        answer = field(row.data, self.answer)
        gold_answers(answer)
        columns = {**row.data, "question": question, "answer": answer}
        return Problem(question_hash(question, history), question, columns, history)

    def _rows(self, key: str) -> list[tuple[str, Row]]:
        """(source, row) of everything that the key gives."""
        given = getattr(self, key)
        fields = [(self.question,), (self.answer,)]
        if isinstance(given, list) and not all(isinstance(item, str) for item in given):
            return [(f"task.{key}", row) for row in given_rows(given, f"task.{key}", fields)]
        read = []
        bad: dict[str, list[str]] = {}
        for name in [given] if isinstance(given, str) else given:
            data = read_data(Source(name, key, way_out=f"give a file: task.{key}=FILE"), fields)
            bad[name] = data.bad
            read += [(name, row) for row in data.rows]
        refuse_by_source(bad)
        if not read:
            raise ConfigError(f"task.{key} names no source; give a file")
        return read
