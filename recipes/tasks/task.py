"""A task: where the problems come from, what a perfect policy answers, what can be measured of a completion.

A task is one class, and the class is the section `task` of a recipe: its fields are the keys. `task.name` says which:
a folder beside this file, `package.module:attr`, `path.py:attr`, or an entry point of the group `doubleback.tasks`.
`docs/tasks.md` writes one in a file.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

from pydantic import ModelWrapValidatorHandler, field_validator, model_validator

from doubleback.eval.measures.measure import Measure, shared
from doubleback.eval.measures.moves import Moves
from doubleback.eval.prompts.prompt import HOLE
from doubleback.rewards.answers.thinking import find_convention
from doubleback.rewards.contract.lookup import is_location, locate, offered
from doubleback.rewards.nearest import nearest
from doubleback.rewards.settings import Section
from doubleback.rewards.types import ConfigError, Problem

FOLDER = Path(__file__).parent
Trace = Callable[[Problem, int], str | None]
"""(problem, seed) -> a completion; None where this problem has none of the manner."""
GROUP = "doubleback.tasks"
"""Entry point group in which a package offers tasks by name."""
SPLIT_BOUNDS = ((80, "train"), (90, "validation"), (100, "test"))
"""For `split_of`: upper bounds in per cent of all problems."""
BOUNDS_WITH_PRETRAINING = ((60, "pretrain"), (85, "train"), (90, "validation"), (100, "test"))
"""The same for a task that pre-trains bases of its own, whose problems no run may see."""


@dataclass(frozen=True, slots=True)
class Splits:
    """Disjoint sets of problems."""

    train: Sequence[Problem]
    """For rollouts."""
    validation: Sequence[Problem]
    """For choosing settings and drawing the curve."""
    test: Sequence[Problem]
    """For the table before and after; never for a choice."""
    skipped: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Key that leaves rows out -> a line for each of them, by file and line."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Problem id -> file and line, where there is one."""

    @property
    def everything(self) -> list[Problem]:
        """All of them, in this order."""
        return [*self.train, *self.validation, *self.test]

    def each(self, change: Callable[[Sequence[Problem]], Sequence[Problem]]) -> "Splits":
        """The splits with the problems that `change` makes of those of each."""
        return replace(self, train=change(self.train), validation=change(self.validation), test=change(self.test))


def split_of(identity: str, bounds: Sequence[tuple[int, str]] = SPLIT_BOUNDS) -> str:
    """The split that a problem of this identity belongs to, whoever draws it: it depends on nothing else."""
    percentile = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8]) % 100
    return next(name for bound, name in bounds if percentile < bound)


class Task(Section):
    """The keys that every task has, and what it must say of itself."""

    measures: ClassVar[Mapping[str, Measure]] = MappingProxyType({})
    """Name -> an exact measure of a completion, reported by every evaluation; the first tells most."""
    moves: ClassVar[Moves | None] = None
    """How a completion is replayed move by move, for who looks at samples; None where it cannot be."""

    name: str
    """Which task: a name (doubleback list), `package.module:attr` or `path.py:attr`. The other keys are the task's."""
    prompt: str = HOLE
    """How a question is put to the model: a prompt (doubleback list), a YAML file, or a text with `{question}` in it,
    where the question goes. One for chat models goes through the tokenizer's chat template."""
    thinking: bool | None = None
    """`on` or `off`: what the chat template's own switch is set to, or what the prompt says in words where it has none.
    `null`: what the model does by itself."""
    convention: str | None = None
    """How the model marks its thoughts: a name (docs/prompts.md), or `<plan>...</plan>`. `null`: as the chat template
    does, `<think>` where it says nothing."""
    overlong: Literal["refuse", "skip"] = "refuse"
    """What a prompt does that leaves no room for sampling.max_tokens in model.max_length: end with its line, or be left
    out and counted."""
    drop_unscorable: bool = False
    """Leave out problems whose own gold is not graded correct, and say which. Otherwise one such stops the run."""

    @field_validator("convention")
    @classmethod
    def _convention_is_known(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                find_convention(name)
            except ConfigError as error:
                raise ValueError(f"task.convention={error}") from None
        return name

    @abstractmethod
    def splits(self) -> Splits:
        """The problems, the same ones in the same order every time; none stands in two splits.

        Their `prompt` is the question alone: task.prompt says how it is put.
        """

    def gold(self, problem: Problem) -> str | None:
        """The completion that a perfect policy would give, graded before training. None: nobody knows one."""
        return None

    def traces(self) -> Mapping[str, Trace]:
        """Name -> completions of one manner that the task itself can write, which `demonstrations.source` may name."""
        return {}

    @classmethod
    def chosen(cls, data: Any) -> type[Section]:
        """The task that `data` names, where this class stands for all of them; ConfigError where there is none."""
        if cls is Task and isinstance(data, Mapping) and isinstance(data.get("name"), str):
            return find_task(data["name"])
        return cls

    @model_validator(mode="wrap")
    @classmethod
    def _read_by_the_task_it_names(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if cls is Task and isinstance(data, Mapping) and "name" in data:
            try:
                task = cls.chosen(data)
            except ConfigError as error:
                raise ValueError(str(error)) from None
            if task is not cls:
                read: Self = task.model_validate(data)  # type: ignore[assignment]  # a Task, as find_task promises
                return read
        return handler(data)


def shipped_tasks() -> list[str]:
    """The names of the tasks that come with doubleback: the folders beside this file."""
    return sorted(file.parent.name for file in FOLDER.glob("*/task.py"))


def shipped_measures() -> dict[str, Measure]:
    """The measures of all tasks that come with doubleback, for samples whose task nobody names."""
    found: dict[str, list[Measure]] = {}
    for task in shipped_tasks():
        for name, measure in find_task(task).measures.items():
            found.setdefault(name, []).append(measure)
    return {name: shared(measures) for name, measures in found.items()}


def all_moves() -> list[Moves]:
    """How completions are replayed, of all tasks that come with doubleback or that an installed package offers."""
    tasks = map(find_task, [*shipped_tasks(), *offered(GROUP)])
    return [task.moves for task in tasks if task.moves is not None]


def find_task(name: str) -> type[Task]:
    """The task of this name, as a class; runs the code of its module. ConfigError where there is none."""
    names = [*shipped_tasks(), *offered(GROUP)]
    if name in shipped_tasks():
        task: Any = _only_task(name)
    elif is_location(name) or name in names:
        task = locate(name, "task.name", GROUP)
    else:
        way_out = f"{nearest(name, names)} One of your own is package.module:attr or path.py:attr"
        raise ConfigError(f"task.name={name} is no task; {way_out}")
    if not (isinstance(task, type) and issubclass(task, Task)):
        raise ConfigError(f"task.name={name} is no task, but {type(task).__name__}; see docs/tasks.md")
    return task


def _only_task(name: str) -> Any:
    """The task that the folder's module `task` defines."""
    module = import_module(f"doubleback.recipes.tasks.{name}.task")
    (task,) = [item for item in vars(module).values() if isinstance(item, type) and item.__module__ == module.__name__]
    return task
