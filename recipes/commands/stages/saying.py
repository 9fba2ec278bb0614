"""How a stage is called: in the line that begins it, and in whatever ends it."""

from collections.abc import Iterator
from contextlib import contextmanager

from doubleback.recipes.recipe.stages.road import Road, Stage
from doubleback.rewards.types import ConfigError, RunError, lines_of
from doubleback.rl.stopping import STOP, Interrupted


def described(road: Road, stage: Stage) -> str:
    """The stage in a line: its number, its name, its kind, and what it takes."""
    start = road.before(stage)
    words = [f"from {start.name if start is not None else stage.start}"]
    words += [f"{key.split('.')[0]} of {taken.stage}" for key, taken in stage.taken.items()]
    place = f"stage {stage.number} of {len(road.stages)}"
    return f"{place}  {stage.name}: kind {stage.recipe.kind}, {', '.join(words)}"


def named(stage: Stage, error: Exception) -> list[str]:
    """The lines of the error, each with the stage before it."""
    return lines_of(error, f"stage {stage.name}: ")


@contextmanager
def in_stage(stage: Stage) -> Iterator[None]:
    """What ends this block says in which stage."""
    try:
        yield
    except (ConfigError, RunError) as error:
        raise type(error)("\n".join(named(stage, error))) from error
    except Interrupted:
        if STOP.done:
            STOP.done = f"stage {stage.name}: {STOP.done}"
        raise
