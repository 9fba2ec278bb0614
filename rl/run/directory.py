"""A run on disk, by the names of `rl.run.names`: every file appears whole or not at all."""

import gzip
import json
import math
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from doubleback.rewards.jsonl import GZIPPED, complete_lines, to_lines
from doubleback.rewards.sample_lines import PROBLEMS, ROLLOUTS, problem_line
from doubleback.rewards.types import Problem
from doubleback.rl.config import CheckpointConfig
from doubleback.rl.learner.learner import Learner
from doubleback.rl.rollout.problems import Source
from doubleback.rl.run import checkpoint
from doubleback.rl.run.best import best_step
from doubleback.rl.run.files import (
    append,
    explained,
    make_folder,
    remove_folder,
    remove_unfinished,
    to_json,
    write_atomically,
)
from doubleback.rl.run.names import (
    CHECKPOINTS,
    EVALUATIONS,
    METRICS,
    SAMPLES_END,
    UNMEASURED,
    checkpoint_folder,
    checkpoint_steps,
    step_name,
)
from doubleback.rl.run.samples import write_rollouts
from doubleback.rl.types import Group

WRITTEN = re.compile(r"(?:(?P<suite>.+)-)?step-(?P<step>\d{5,})(?:\.json|\.jsonl\.gz)")
"""Names of the files that a run writes for a step."""


class RunDirectory:
    """Writes one run; knows how to forget what came after a checkpoint."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in (ROLLOUTS, CHECKPOINTS, EVALUATIONS):
            with explained(path / name):
                make_folder(path / name)

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
            write_rollouts(self.path / ROLLOUTS / f"{step_name(step)}{SAMPLES_END}", step, groups)
        append(self.metrics_path, f"{to_json({'step': step, **metrics})}\n".encode())
        for observe in observers:
            observe(step, metrics)

    def save_checkpoint(self, learner: Learner, source_state: Mapping[str, Any], config: CheckpointConfig) -> None:
        """A checkpoint of the learner's step; afterwards all but the newest `keep`, and the best, are deleted."""
        checkpoint.save(learner, source_state, checkpoint_folder(self.path, learner.step))
        # The lines of a long run are megabytes: they are read where somebody asks for the best alone.
        best = None if config.best is None else best_step(self.metrics_lines(), config)
        for step in self.checkpoint_steps()[: -config.keep]:
            if step != best:
                remove_folder(checkpoint_folder(self.path, step))

    def restore_latest(self, learner: Learner, problems: Source) -> int:
        """Load the newest checkpoint, forget everything after it, return its step: 0 where there is none."""
        steps = self.checkpoint_steps()
        if steps:
            checkpoint.load(learner, problems, checkpoint_folder(self.path, steps[-1]))
        self.forget_after(steps[-1] if steps else -1)
        return steps[-1] if steps else 0

    def forget_after(self, step: int) -> None:
        """Delete what an interrupted run wrote past `step`; it is about to be computed again."""
        if self.metrics_path.exists():
            kept = [line for line in self.metrics_lines() if line["step"] <= step]
            write_atomically(self.metrics_path, _to_lines(kept))
        for path in [*(self.path / ROLLOUTS).iterdir(), *(self.path / EVALUATIONS).iterdir()]:
            if is_written_after(path, step):
                with explained(path):
                    path.unlink()
        for folder in (self.path, *(self.path / name for name in (ROLLOUTS, EVALUATIONS, CHECKPOINTS))):
            remove_unfinished(folder)

    def take_unmeasured(self, step: int) -> dict[str, Any] | None:
        """The metrics of `step` where its evaluation was interrupted, out of the file; else None."""
        lines = self.metrics_lines()
        if not lines or lines[-1].get("step") != step or UNMEASURED not in lines[-1]:
            return None
        write_atomically(self.metrics_path, _to_lines(lines[:-1]))
        metrics = {name: value for name, value in lines[-1].items() if name not in ("step", UNMEASURED)}
        return {name: math.nan if value is None else value for name, value in metrics.items()}

    def checkpoint_steps(self) -> list[int]:
        """Steps of the finished checkpoints, ascending."""
        return checkpoint_steps(self.path)

    def metrics_lines(self) -> list[dict[str, Any]]:
        """The complete lines of metrics.jsonl; a line torn by a crash is left out."""
        return complete_lines(self.metrics_path)

    @property
    def metrics_path(self) -> Path:
        """The file of metrics, one line a step."""
        return self.path / METRICS


def is_written_after(path: Path, step: int) -> bool:
    """Whether a run wrote this file, of samples or a summary, for a later step than `step`.

    It is one of a run where name and content say the same: `test-step-00004.json` has the suite `test` and the step 4.
    Whatever else lies beside those was written by somebody else.
    """
    match = WRITTEN.fullmatch(path.name)
    if match is None or int(match["step"]) <= step or path.is_symlink() or not path.is_file():
        return False
    named = int(match["step"])
    try:
        if path.suffix == GZIPPED:
            with gzip.open(path) as file:
                return bool(json.loads(file.readline()).get("step") == named)
        said = json.loads(path.read_bytes())
        return (said.get("suite"), said.get("step")) == (match["suite"], named)
    except (OSError, EOFError, ValueError, AttributeError, zlib.error):  # a damaged one is written anew in its turn
        return False


def _to_lines(metrics: Sequence[dict[str, Any]]) -> bytes:
    return "".join(to_json(line) + "\n" for line in metrics).encode()
