"""What a run writes down: a report of each step into the run's folder, evaluations, checkpoints; and who is told."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from doubleback.rl.config import CheckpointConfig
from doubleback.rl.learner.batching import with_old_logprobs
from doubleback.rl.learner.learner import Learner
from doubleback.rl.rollout.sampler import Rollout
from doubleback.rl.run.best import has_stalled
from doubleback.rl.run.directory import RunDirectory
from doubleback.rl.run.metrics import rollout_metrics
from doubleback.rl.run.names import UNMEASURED
from doubleback.rl.stopping import STOP, Interrupted
from doubleback.rl.sync import Receipt
from doubleback.rl.types import Batch, Group

Evaluate = Callable[[int], dict[str, float]]
"""Step -> metrics of group eval/, empty where the step is not due."""
Observe = Callable[[int, dict[str, float]], None]
"""Called with every step's metrics once they are on disk: progress bars, trackers."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step did, as its stages returned it."""

    step: int
    """The first is 1."""
    rollout: Rollout
    batch: Batch
    learned: Mapping[str, float]
    """Groups learner/ and gap/ of the metrics, and seconds/update."""
    receipt: Receipt
    waited_seconds: float = 0.0
    """After the update, for what is sampled ahead."""

    @property
    def groups(self) -> list[Group]:
        """All that was sampled: what the step learned from, then what was replaced."""
        return [*self.batch.groups, *self.rollout.replaced]

    def metrics(self, step_seconds: float, began: float, origin: float) -> dict[str, float]:
        """Every metric of the step but those of its evaluation. The one place where they come together.

        `began` and `origin`: `time.perf_counter()` when the step began, and when this process began to train.
        """
        seconds = {
            **self.rollout.seconds,
            "reward": self.rollout.seconds["reward"] + self.batch.seconds,
            "queue": self.rollout.queue_seconds,
            "wait": self.waited_seconds,
            **self.receipt.seconds,
            "step": step_seconds,
            "began_at": began - origin,
            "sampled_at": self.rollout.sampled_at - origin,
        }
        rollout = rollout_metrics(self.groups, self.batch, self.rollout.num_rounds)
        return {
            **rollout,
            "rollout/lag": self.rollout.lag,
            **self.rollout.problem_metrics,
            **self.rollout.replica_metrics,
            **self.learned,
            **self.receipt.metrics(),
            **{f"seconds/{name}": value for name, value in seconds.items()},
            "speed/rollout_tokens_per_s": rollout["rollout/tokens"] / seconds["rollout"],
            "speed/update_tokens_per_s": self.learned["learner/tokens"] / self.learned["seconds/update"],
        }


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """When a run is saved, and what of it."""

    learner: Learner
    config: CheckpointConfig
    last_step: int
    """Always saved."""


class Journal:
    """Writes a run down, step by step: rollouts, metrics, evaluation, checkpoint."""

    def __init__(
        self, run: RunDirectory, checkpoints: Checkpoints, evaluate: Evaluate, observers: Sequence[Observe]
    ) -> None:
        self._run, self._checkpoints, self._evaluate, self._observers = run, checkpoints, evaluate, observers
        self._origin = self._step_began = time.perf_counter()
        self._unsaved: tuple[int, Mapping[str, Any]] | None = None
        """A step that is written down and not in a checkpoint yet, and the source's state after it."""

    def start(self, receipt: Receipt) -> None:
        """Before the first step: a new run is measured as it is; one that goes on has been, unless interrupted then."""
        step = self._checkpoints.learner.step
        if step == 0:
            self._write(0, [], receipt.metrics())
        elif (metrics := self._run.take_unmeasured(step)) is not None:
            self._write(step, [], metrics)
        self._origin = self._step_began = time.perf_counter()

    def steps(self) -> Iterator[int]:
        """The steps that are left: those behind the learner's own, to the last or until patience ends."""
        first, last = self._checkpoints.learner.step + 1, self._checkpoints.last_step
        return takewhile(lambda step: not self.has_stalled(), range(first, last + 1))

    def has_stalled(self) -> bool:
        """Whether the run is over before its last step, for want of an improvement."""
        config = self._checkpoints.config
        return config.patience is not None and has_stalled(self._run.metrics_lines(), config)

    def saves(self, step: int) -> bool:
        """Whether a checkpoint follows `step`: where one is due, and where the command is asked to stop."""
        return STOP.asked is not None or self._checkpoints.config.is_due(step, self._checkpoints.last_step)

    def record(self, report: StepReport) -> None:
        """The step on disk: its rollouts, then its line of metrics, then a checkpoint where one is due."""
        self._unsaved = report.step, report.rollout.source_state
        began = self._step_began
        metrics = report.metrics(time.perf_counter() - began, began, self._origin)
        learned = with_old_logprobs(report.batch, self._checkpoints.learner.old_logprobs)
        self._write(report.step, [*learned, *report.rollout.replaced], metrics)
        if self.saves(report.step):
            self.save()
        self._step_began = time.perf_counter()

    def save(self) -> None:
        """A checkpoint of the last step that was written down; nothing where there is one, or the learner is beyond."""
        learner = self._checkpoints.learner
        if self._unsaved is not None and self._unsaved[0] == learner.step:
            self._run.save_checkpoint(learner, self._unsaved[1], self._checkpoints.config)
            self._unsaved = None

    def _write(self, step: int, groups: Sequence[Group], metrics: Mapping[str, float]) -> None:
        """The step's line, after its evaluation. Interrupted in that, a step is marked, to be measured on resume."""
        try:
            with STOP.droppable():
                measured = self._evaluate(step)
        except Interrupted:
            if step > 0:
                self._run.record(step, groups, {**metrics, UNMEASURED: 1.0}, [])
            raise
        self._run.record(step, groups, {**metrics, **measured}, self._observers)
