"""How a run stands, read from its folder: live, finished, stopped or killed, at which step, what of its past is gone.

Loads no torch.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doubleback.rewards.jsonl import complete_lines, content
from doubleback.rewards.records import Record, records
from doubleback.rewards.sample_lines import ROLLOUTS
from doubleback.rewards.settings import read_yaml
from doubleback.rl.run.names import (
    COUNTS,
    EVALUATIONS,
    METRICS,
    RECIPE,
    SAMPLES_END,
    checkpoint_steps,
    evaluation_name,
    step_name,
)
from doubleback.rl.run.owner import LOCK, owner_of

NUM_COMPLETIONS = "rollout/num_completions"
"""The metric of a step that has rollouts."""


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


def is_torn(path: Path) -> bool:
    """Whether a file of lines ends in the middle of one."""
    written = content(path) if path.exists() else b""
    return bool(written) and not written.endswith(b"\n")


def lost_history(run: Path, step: int) -> list[str]:
    """A line for each thing that is gone or torn of a run that was saved at `step`; none where all is there.

    ConfigError where a line of metrics in the middle cannot be read.
    """
    lines = complete_lines(run / METRICS)
    findings = []
    if is_torn(run / METRICS):
        findings.append(f"{METRICS} ends in the middle of a line, which is left out: that step is computed again")
    known = {line.get("step") for line in lines}
    if missing := [number for number in range(step + 1) if number not in known]:
        findings.append(
            f"{METRICS} has no line of {in_words(missing)} any more: curves have a gap there, and checkpoint.best and "
            "patience are reckoned without"
        )
    if missing := list(_without_rollouts(run, lines, step)):
        findings.append(f"{ROLLOUTS}/ has no file of {in_words(missing)} any more")
    return findings


def in_words(steps: Iterable[int]) -> str:
    """Steps in their order, as ranges: `steps 2 to 4, 7`."""
    ranges: list[tuple[int, int]] = []
    for step in sorted(steps):
        if ranges and step == ranges[-1][1] + 1:
            ranges[-1] = ranges[-1][0], step
        else:
            ranges.append((step, step))
    named = ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in ranges)
    return f"step{'' if len(ranges) == 1 and ranges[0][0] == ranges[0][1] else 's'} {named}"


def _without_rollouts(run: Path, lines: Sequence[dict[str, Any]], step: int) -> Iterator[int]:
    for line in lines:
        number = line.get("step")
        if not isinstance(number, int) or number > step or line.get(NUM_COMPLETIONS) is None:
            continue
        if not (run / ROLLOUTS / f"{step_name(number)}{SAMPLES_END}").is_file():
            yield number
