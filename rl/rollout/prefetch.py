"""The rollouts of the steps, one by one: sampled when a step begins, or while the step before is still learned.

Ahead, a batch comes of the adapter one step older than the one that learns from it: one step off-policy. With
algorithm.old_logprobs=sampler the clip bounds what that does; `require_lag` bounds the lag itself.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace

from doubleback.rewards.types import RunError
from doubleback.rl.config import RolloutConfig
from doubleback.rl.rollout.sampler import Rollout
from doubleback.rl.stopping import STOP
from doubleback.rl.types import Group


class Rollouts:
    """`sample` makes the rollout of a step; with `config.ahead` its engine must bear being used from another thread."""

    def __init__(self, sample: Callable[[int], Rollout], config: RolloutConfig) -> None:
        self._sample, self._config = sample, config
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="rollout")
        self._pending: tuple[int, Future[Rollout]] | None = None

    def begin(self, step: int, *, unless: bool) -> None:
        """Start to sample `step` beside the update, and return at once; nothing without rollout.ahead.

        `unless`: a checkpoint comes first. It must not know of what is ahead, or a resumed run would be another.
        """
        if self._config.ahead and not unless:
            self._pending = step, self._pool.submit(self._sample, step)

    def wait(self) -> float:
        """Return when nothing is being sampled, the seconds that took: the engine may take a new adapter now."""
        started = time.perf_counter()
        if self._pending is not None:
            wait([self._pending[1]])
        return time.perf_counter() - started

    def take(self, step: int) -> Rollout:
        """The rollout of `step`: the one begun, or a new one. RunError where it lags more than rollout.max_lag.

        Interrupted where the command is asked to stop meanwhile: the learner has not seen the step yet.
        """
        with STOP.droppable():
            if self._pending is None or self._pending[0] != step:
                rollout = self._sample(step)
            else:
                rollout, self._pending = self._pending[1].result(), None
        return replace(rollout, lag=require_lag(rollout.groups, step - 1, self._config.max_lag))

    def close(self) -> None:
        """Throw away what is being sampled; it is waited for, unless the command was asked to stop."""
        self._pool.shutdown(wait=STOP.asked is None, cancel_futures=True)


def require_lag(groups: Sequence[Group], learner_step: int, max_lag: int) -> float:
    """Mean steps between the adapter that sampled and the one that learns. RunError unless all are within `max_lag`."""
    lags = [learner_step - completion.policy_version for group in groups for completion in group.completions]
    if not all(lag <= max_lag for lag in lags):
        raise RunError(
            f"step {learner_step + 1}: completions of adapter {learner_step - max(lags)} came to a learner at "
            f"{learner_step}; rollout.max_lag={max_lag} allows less"
        )
    return sum(lags) / max(len(lags), 1)
