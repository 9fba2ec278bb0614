"""What a recipe says of a mixture: the modes of its task, and the tasks beside it. Loads no torch."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, SerializeAsAny, StringConstraints

from doubleback.eval.prompts.prompt import read_prompt
from doubleback.recipes.tasks.task import Task
from doubleback.rewards.compose.config import RewardConfig
from doubleback.rewards.settings import Section
from doubleback.rewards.types import ConfigError, lines_of

if TYPE_CHECKING:  # the schema holds these sections
    from doubleback.recipes.recipe.schema import Recipe

StrandName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
"""Stands in ids, in names of metrics and of files."""
Weight = Annotated[float, Field(gt=0)]
THINKING: Mapping[str, bool] = {"on": True, "off": False}
"""Name of a mode -> the thinking that it means where it says nothing else."""


class ModeConfig(Section):
    """One way in which the model is to answer the problems of `task`."""

    weight: Weight = 1.0
    """Share of a step's problems, beside the weights of the others."""
    thinking: bool | None = None
    """Whether the model is to think. `null`: as the mode's name says, `on` or `off`; under another name nothing is
    asked of it."""
    prompt: str | None = None
    """The mode's own prompt, in the place of `task.prompt`. A prompt for base models is the switch itself; with one for
    chat models the template's switch is set, or the prompt's words for it are said. `null`: `task.prompt`."""
    reward: RewardConfig | None = None
    """The mode's own reward, whole. `null`: the recipe's `reward`."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Longest completion of the mode, at most `sampling.max_tokens`. `null`: that."""


class MixedTask(Section):
    """Another task that is trained beside `task`."""

    weight: Weight = 1.0
    """Share of a step's problems, beside the weights of the others."""
    data: str | None = None
    """The data set that this task starts from, as the recipe's own `data` does for its own."""
    task: SerializeAsAny[Task]
    """The task with its prompt, as in the recipe's own section `task`."""
    reward: RewardConfig
    """Its reward, whole."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Its longest completion, at most `sampling.max_tokens`. `null`: that."""


Modes = Annotated[dict[StrandName, ModeConfig], Field(default_factory=dict)]
Mix = Annotated[dict[StrandName, MixedTask], Field(default_factory=dict)]


def thinking_of_mode(name: str, mode: ModeConfig) -> bool | None:
    """What the mode asks for: True, False, or nothing."""
    return THINKING.get(name) if mode.thinking is None else mode.thinking


def strand_names(recipe: "Recipe") -> list[str]:
    """The names of the recipe's strands, its own task's first; none where it has one task in one mode."""
    if not recipe.modes and not recipe.mix:
        return []
    return [*(recipe.modes or [own_name(recipe)]), *recipe.mix]


def own_name(recipe: "Recipe") -> str:
    """What the recipe's own task is called beside others: its name, of one in a file or package the last part."""
    return recipe.task.name.rpartition(":")[2].lower()


def findings(recipe: "Recipe") -> Iterator[str]:
    """A line for each thing in `modes` and `mix` that does not go together with the rest of the recipe."""
    names = strand_names(recipe)
    if not names:
        return
    yield from _unfit(recipe)
    yield from _clashes(recipe, names)
    longest = recipe.sampling.max_tokens
    given: dict[str, Any] = {f"modes.{name}": mode for name, mode in recipe.modes.items()}
    given |= {f"mix.{name}": task for name, task in recipe.mix.items()}
    for key, section in given.items():
        if section.max_tokens is not None and section.max_tokens > longest:
            yield (
                f"{key}.max_tokens={section.max_tokens} is above sampling.max_tokens={longest}, the longest of all; "
                "lower the first or raise the second"
            )
    yield from _prompts(recipe)


def _unfit(recipe: "Recipe") -> Iterator[str]:
    key = "modes" if recipe.modes else "mix"
    if recipe.kind != "rl":
        yield f"{key} is of kind=rl, and kind={recipe.kind}; leave one of the two out"
    if recipe.trainer != "doubleback":
        yield f"trainer={recipe.trainer} has one task in one mode; leave {key} out, or set trainer=doubleback"
    if len(recipe.modes) == 1:
        (name,) = recipe.modes
        yield f"modes has {name} alone; a recipe with one mode says it in task and reward, one with several names all"
    if recipe.modes and recipe.task.thinking is not None:
        mode = "on" if recipe.task.thinking else "off"
        yield f"task.thinking={mode} and modes: each mode says its own; leave the first out"


def _clashes(recipe: "Recipe", names: list[str]) -> Iterator[str]:
    """Two strands, or a strand and a suite, whose measurements would have one name."""
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"mix.{name}: the recipe's own task, or a mode, is called {name} too; give it another name"
    measured = {f"{suite}-{name}" for name in names for suite in ("validation", "test")}
    for suite in recipe.eval.suites:
        if Path(suite).stem in {*measured, *names}:
            yield f"eval.suites={suite}: a strand of the recipe is measured as {Path(suite).stem}; rename the file"


def _prompts(recipe: "Recipe") -> Iterator[str]:
    asked: dict[tuple[str, bool | None], str] = {}
    for name, mode in recipe.modes.items():
        try:
            kind = read_prompt(recipe.task.prompt if mode.prompt is None else mode.prompt).kind
        except ConfigError as error:
            yield from lines_of(error, f"modes.{name}.prompt: ")
            continue
        # A text of its own says the mode by itself; for chat models the switch may.
        key = (mode.prompt or recipe.task.prompt, thinking_of_mode(name, mode) if kind == "chat" else None)
        if (other := asked.setdefault(key, name)) != name:
            yield f"modes.{other} and modes.{name} put a question alike; give modes.{name}.prompt a text of its own"
