"""A run on disk. Other programs rely on these names; every file appears whole or not at all.

recipe.yaml, inputs.json, environment.json, problems.jsonl, metrics.jsonl, rollouts/step-00012.jsonl.gz,
checkpoints/step-00012/, eval/validation-step-00012.json and .jsonl.gz
"""

import math
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from doubleback.rewards.jsonl import complete_lines, to_lines
from doubleback.rewards.sample_lines import PROBLEMS, ROLLOUTS, problem_line
from doubleback.rewards.types import Problem
from doubleback.rl.config import CheckpointConfig
from doubleback.rl.learner.learner import Learner
from doubleback.rl.rollout.problems import ProblemSource
from doubleback.rl.run import checkpoint
from doubleback.rl.run.best import best_step
from doubleback.rl.run.files import append, explained, remove_unfinished, to_json, write_atomically
from doubleback.rl.run.samples import write_rollouts
from doubleback.rl.types import Group

UNMEASURED = "unmeasured"
"""In the metrics of a step whose evaluation was interrupted: the resumed run makes up for it."""


class RunDirectory:
    """Writes one run; knows how to forget what came after a checkpoint."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in (ROLLOUTS, "checkpoints", "eval"):
            (path / name).mkdir(parents=True, exist_ok=True)

    def write_problems(self, problems: Sequence[Problem]) -> None:
        """What sample lines leave out: prompt and columns of every problem, once."""
        write_atomically(self.path / PROBLEMS, to_lines(map(problem_line, problems)))

    def record(
        self,
        step: int,
        groups: Sequence[Group],
        metrics: dict[str, float],
        observers: Sequence[Callable[[int, dict[str, float]], None]],
    ) -> None:
        """Rollouts of the step, then its line in metrics.jsonl, both flushed to the disk; then tell the observers."""
        if groups:
            write_rollouts(self.path / ROLLOUTS / f"{step_name(step)}.jsonl.gz", step, groups)
        append(self.metrics_path, f"{to_json({'step': step, **metrics})}\n".encode())
        for observe in observers:
            observe(step, metrics)

    def save_checkpoint(self, learner: Learner, source_state: Mapping[str, Any], config: CheckpointConfig) -> None:
        """A checkpoint of the learner's step; afterwards all but the newest `keep`, and the best, are deleted."""
        with explained(self.path / "checkpoints"):
            checkpoint.save(learner, source_state, self.path / "checkpoints" / step_name(learner.step))
        best = best_step(self.metrics_lines(), config)
        for step in self.checkpoint_steps()[: -config.keep]:
            if step != best:
                shutil.rmtree(self.path / "checkpoints" / step_name(step))

    def restore_latest(self, learner: Learner, problems: ProblemSource) -> int:
        """Load the newest checkpoint, forget everything after it, return its step: 0 where there is none."""
        steps = self.checkpoint_steps()
        if steps:
            checkpoint.load(learner, problems, self.path / "checkpoints" / step_name(steps[-1]))
        self.forget_after(steps[-1] if steps else -1)
        return steps[-1] if steps else 0

    def forget_after(self, step: int) -> None:
        """Delete what an interrupted run wrote past `step`; it is about to be computed again."""
        if self.metrics_path.exists():
            kept = [line for line in self.metrics_lines() if line["step"] <= step]
            write_atomically(self.metrics_path, _to_lines(kept))
        for path in [*(self.path / ROLLOUTS).iterdir(), *(self.path / "eval").iterdir()]:
            number = re.search(r"step-(\d+)", path.name)
            if number is None or int(number[1]) > step:
                path.unlink()
        remove_unfinished(self.path / "checkpoints")

    def take_unmeasured(self, step: int) -> dict[str, Any] | None:
        """The metrics of `step` where its evaluation was interrupted, out of the file; else None."""
        lines = self.metrics_lines()
        if not lines or lines[-1].get("step") != step or UNMEASURED not in lines[-1]:
            return None
        write_atomically(self.metrics_path, _to_lines(lines[:-1]))
        known = {name: value for name, value in lines[-1].items() if name not in ("step", UNMEASURED)}
        return {name: math.nan if value is None else value for name, value in known.items()}

    def checkpoint_steps(self) -> list[int]:
        """Steps of the finished checkpoints, ascending."""
        names = (path.name for path in (self.path / "checkpoints").iterdir())
        return sorted(int(name.removeprefix("step-")) for name in names if re.fullmatch(r"step-\d+", name))

    def metrics_lines(self) -> list[dict[str, Any]]:
        """The complete lines of metrics.jsonl; a line torn by a crash is left out."""
        return complete_lines(self.metrics_path)

    @property
    def metrics_path(self) -> Path:
        """The file of metrics, one line a step."""
        return self.path / "metrics.jsonl"


def _to_lines(metrics: Sequence[dict[str, Any]]) -> bytes:
    return "".join(to_json(line) + "\n" for line in metrics).encode()


def step_name(step: int) -> str:
    """The name of a step in files and folders: step-00012, so that names sort as numbers do."""
    return f"step-{step:05d}"
