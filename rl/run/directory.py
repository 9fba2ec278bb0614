"""A run on disk. Other programs rely on these names; every file appears whole or not at all.

recipe.yaml, environment.json, metrics.jsonl, rollouts/step-00012.jsonl.gz, checkpoints/step-00012/, eval/*.json
"""

import gzip
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from doubleback.rl.learner.learner import Learner
from doubleback.rl.rollout.problems import ProblemSource
from doubleback.rl.run import checkpoint
from doubleback.rl.run.files import explained, remove_unfinished, to_json, write_atomically
from doubleback.rl.types import Group


class RunDirectory:
    """Writes one run; knows how to forget what came after a checkpoint."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in ("rollouts", "checkpoints", "eval"):
            (path / name).mkdir(parents=True, exist_ok=True)

    def record(
        self,
        step: int,
        groups: Sequence[Group],
        metrics: dict[str, float],
        observers: Sequence[Callable[[int, dict[str, float]], None]],
    ) -> None:
        """Rollouts of the step, then its line in metrics.jsonl, both flushed to the disk; then tell the observers."""
        if groups:
            write_samples(self.path / "rollouts" / f"{step_name(step)}.jsonl.gz", step, groups)
        with explained(self.metrics_path), self.metrics_path.open("a") as file:
            file.write(to_json({"step": step, **metrics}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        for observe in observers:
            observe(step, metrics)

    def save_checkpoint(self, learner: Learner, problems: ProblemSource, keep: int) -> None:
        """A checkpoint of the learner's step; afterwards all but the newest `keep` are deleted."""
        with explained(self.path / "checkpoints"):
            checkpoint.save(learner, problems, self.path / "checkpoints" / step_name(learner.step))
        for step in self.checkpoint_steps()[:-keep]:
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
            write_atomically(self.metrics_path, "".join(to_json(line) + "\n" for line in kept).encode())
        for path in [*(self.path / "rollouts").iterdir(), *(self.path / "eval").iterdir()]:
            number = re.search(r"step-(\d+)", path.name)
            if number is None or int(number[1]) > step:
                path.unlink()
        remove_unfinished(self.path / "checkpoints")

    def checkpoint_steps(self) -> list[int]:
        """Steps of the finished checkpoints, ascending."""
        names = (path.name for path in (self.path / "checkpoints").iterdir())
        return sorted(int(name.removeprefix("step-")) for name in names if re.fullmatch(r"step-\d+", name))

    def metrics_lines(self) -> list[dict[str, Any]]:
        """The complete lines of metrics.jsonl; a line torn by a crash is left out."""
        lines = self.metrics_path.read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    @property
    def metrics_path(self) -> Path:
        """The file of metrics, one line a step."""
        return self.path / "metrics.jsonl"


def write_samples(path: Path, step: int, groups: Sequence[Group]) -> None:
    """One JSON line per completion, gzipped, with everything that is known about it."""
    lines = (json.dumps(line, ensure_ascii=False) for group in groups for line in _sample_lines(step, group))
    # No time stamp in the gzip header: equal rollouts are equal files.
    write_atomically(path, gzip.compress("\n".join([*lines, ""]).encode(), 6, mtime=0))


def read_samples(path: Path) -> list[dict[str, Any]]:
    """What `write_samples` wrote."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _sample_lines(step: int, group: Group) -> Iterator[dict[str, Any]]:
    advantages = group.advantages or (None,) * len(group.completions)
    for index, (completion, score, advantage) in enumerate(
        zip(group.completions, group.scores, advantages, strict=True)
    ):
        yield {
            "step": step,
            "problem": group.problem.id,
            "sample": index,
            "prompt": group.problem.prompt,
            **{"completion" if key == "text" else key: value for key, value in asdict(completion).items()},
            "score": score.value,
            "verdict": score.verdict,
            "extracted": score.extracted,
            "parts": dict(score.parts),
            "weighted": dict(score.weighted),
            "detail": score.detail,
            "advantage": advantage,
        }


def step_name(step: int) -> str:
    """The name of a step in files and folders: step-00012, so that names sort as numbers do."""
    return f"step-{step:05d}"
