"""What training and evaluation leave on disk, read: metrics and completions as Arrow tables. Loads no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow

from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.records import read_record
from doubleback.rewards.sample_lines import PROBLEMS, ROLLOUTS
from doubleback.rewards.settings import require_folder
from doubleback.rewards.types import ConfigError
from doubleback.rl.run.names import EVALUATIONS, KEPT, METRICS, RECIPE, SAMPLES_END, is_run, newest_run, step_name


class Run:
    """A run's folder; of the folder of a road, its last stage that has a checkpoint.

    It may still be going on: what is read is what is on disk now.

    `Run("runs/first").metrics().to_pandas()` is a data frame with one row a step. ConfigError where `path` is no run.
    """

    def __init__(self, path: str | Path) -> None:
        require_folder(path, "")
        self.path = newest_run(Path(path))
        if not is_run(self.path):
            raise ConfigError(f"{path} is no run: it holds no {RECIPE}; give the folder that a run was written to")

    def metrics(self) -> pyarrow.Table:
        """One row a step, step 0 being the measurement before training; the columns are those of docs/metrics.md.

        A metric that a step has not is null.
        """
        return table(complete_lines(self.path / METRICS))

    def rollouts(self, step: int | None = None) -> pyarrow.Table:
        """One row a sampled completion, of all steps or of one. ConfigError where that step has no rollouts.

        A row names its problem by id; `problems` has the rest.
        """
        name = "step-*" if step is None else step_name(step)
        paths = sorted((self.path / ROLLOUTS).glob(f"{name}{SAMPLES_END}"))
        if not paths:
            raise ConfigError(f"{self.path} has no rollouts{'' if step is None else f' of step {step}'}")
        return table([line for path in paths for line in complete_lines(path)])

    def kept(self) -> pyarrow.Table:
        """One row a sample that a run of `kind: sample` kept. ConfigError where the run has none."""
        if not (self.path / KEPT).exists():
            raise ConfigError(f"{self.path} has no {KEPT}, which a run of kind=sample writes at its end")
        return table(complete_lines(self.path / KEPT))

    def problems(self) -> pyarrow.Table:
        """One row a problem of the run's splits: its id and its prompt, and its columns as a struct."""
        return table(complete_lines(self.path / PROBLEMS))

    def evaluations(self) -> dict[str, dict[str, Any]]:
        """What was measured on the way, by name: `test-step-00000` is the test set before the first step."""
        paths = sorted((self.path / EVALUATIONS).glob("*-step-*.json"))
        return {path.stem: read_record(path) for path in paths}


def table(lines: Sequence[dict[str, Any]]) -> pyarrow.Table:
    """The lines as rows; the columns are all keys in the order in which they first come, null where a line has none."""
    names = dict.fromkeys(name for line in lines for name in line)
    return pyarrow.table({name: pyarrow.array([line.get(name) for line in lines]) for name in names})
