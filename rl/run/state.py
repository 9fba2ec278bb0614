"""How a run stands, read from its folder: live, finished, stopped or killed, and at which step. Loads no torch."""

from dataclasses import dataclass
from pathlib import Path

from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.records import Record, records
from doubleback.rewards.settings import read_yaml
from doubleback.rl.run.names import COUNTS, EVALUATIONS, METRICS, RECIPE, checkpoint_steps, evaluation_name
from doubleback.rl.run.owner import LOCK, owner_of


@dataclass(frozen=True, slots=True)
class RunState:
    """How far a run has come, and whether it goes on."""

    step: int
    """The newest that is written down; 0 before the first."""
    steps: int
    """As many as the recipe asks for."""
    saved_step: int | None
    """Of the newest checkpoint; None without one."""
    owner: str | None
    """Who works in the folder now."""
    is_finished: bool
    was_killed: bool
    """Whether its process ended without a word: the lock file is left, and nobody holds it."""

    @property
    def word(self) -> str:
        """live, finished, killed or stopped."""
        if self.owner is not None:
            return "live"
        return "finished" if self.is_finished else "killed" if self.was_killed else "stopped"


def state_of(run: Path) -> RunState:
    """The state of the run in this folder. ConfigError where its recipe cannot be read."""
    recipe, lines, owner = stored_recipe(run), complete_lines(run / METRICS), owner_of(run)
    step, saved, steps = lines[-1]["step"] if lines else 0, checkpoint_steps(run), recipe["steps"]
    # Test problems are measured at the start and at the end, which patience may bring early.
    is_measured = (run / EVALUATIONS / f"{evaluation_name('test', step)}.json").exists()
    is_over = bool(lines) and is_measured and (step > 0 or steps == 0)
    is_finished = owner is None and (run / COUNTS).exists() if recipe["kind"] == "sample" else is_over
    return RunState(
        step=step,
        steps=steps,
        saved_step=saved[-1] if saved else None,
        owner=owner,
        is_finished=is_finished,
        was_killed=owner is None and not is_finished and (run / LOCK).exists(),
    )


def stored_recipe(run: Path) -> Record:
    """The recipe with which the run was made, as data."""
    return records(read_yaml(run / RECIPE, "recipe"), run / RECIPE)
