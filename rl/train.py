"""The loop. Everything else is called from here, in the order in which data flows."""

from collections.abc import Iterable
from contextlib import closing

from doubleback.rl.learner.learner import Learner
from doubleback.rl.rollout.prefetch import Rollouts
from doubleback.rl.run.journal import Journal, StepReport
from doubleback.rl.sync import AdapterSync


def train(learner: Learner, rollouts: Rollouts, sync: AdapterSync, journal: Journal, steps: Iterable[int]) -> None:
    """Train the learner's adapter through `steps`, the first of which follows the learner's own.

    Nothing is sampled before the adapter has reached the engine, and no adapter is pushed while the engine samples.
    """
    with closing(rollouts):
        journal.start(sync.push())
        for step in steps:
            rollout = rollouts.take(step)
            rollouts.begin(step + 1, unless=journal.saves(step))
            batch = learner.batch(rollout.groups)
            learned = learner.update(batch)
            waited_seconds = rollouts.wait()
            receipt = sync.push()
            journal.record(StepReport(step, rollout, batch, learned, receipt, waited_seconds))
