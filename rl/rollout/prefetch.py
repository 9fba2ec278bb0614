"""The rollouts of the steps, one by one: sampled when a step begins, or while earlier ones are still learned.

Ahead, a batch comes of an adapter up to rollout.max_lag steps older than the one that learns from it, and of which one
is fixed beforehand (`rl.rollout.pace`). Batches are sampled in the order of their steps, finished ones wait in a queue,
and none is thrown away. With algorithm.old_logprobs=sampler the clip bounds what lag does; `require_lag` bounds the
lag itself.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace

from doubleback.rewards.types import RunError
from doubleback.rl.rollout.pace import Pace
from doubleback.rl.rollout.sampler import Rollout
from doubleback.rl.stopping import STOP
from doubleback.rl.types import Group


class Rollouts:
    """`sample` makes the rollout of a step; ahead its engine must bear being used from another thread."""

    def __init__(self, sample: Callable[[int], Rollout], pace: Pace) -> None:
        self._sample, self._pace = sample, pace
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="rollout")
        self._queue: dict[int, Future[Rollout]] = {}
        """Step -> its rollout, finished or not, in the order of sampling."""
        self._step = 0
        """The step that was taken last."""

    def begin(self, step: int, *, unless: bool) -> None:
        """Start to sample what `Pace` allows from `step` on beside the update, and return at once; nothing without
        rollout.ahead.

        `unless`: a checkpoint comes first. It must not know of what is ahead, or a resumed run would be another.
        """
        for ahead in [] if unless else self._pace.ready(step - 1):
            if ahead not in self._queue:
                before = list(self._queue.values())[-1:]
                self._queue[ahead] = self._pool.submit(self._sample_behind, before, ahead)

    def wait(self) -> float:
        """Return when the engine may take the adapter of the step, the seconds that took: at once where it keeps the
        one that it has, else when all that is sampled of that one is.
        """
        started = time.perf_counter()
        if self._pace.delivers(self._step):
            wait(self._queue.values())
        return time.perf_counter() - started

    def take(self, step: int) -> Rollout:
        """The rollout of `step`: the one begun, or a new one. RunError where it lags more than rollout.max_lag.

        Interrupted where the command is asked to stop meanwhile: the learner has not seen the step yet.
        """
        self._step = step
        began, is_ahead = time.perf_counter(), step in self._queue
        with STOP.droppable():
            rollout = self._queue.pop(step).result() if is_ahead else self._sample_behind([], step)
        lag = require_lag(rollout.groups, step - 1, self._pace.config.max_lag)
        return replace(rollout, lag=lag, queue_seconds=time.perf_counter() - began if is_ahead else 0.0)

    def close(self) -> None:
        """Throw away what is being sampled; it is waited for, unless the command was asked to stop."""
        self._pool.shutdown(wait=STOP.asked is None, cancel_futures=True)

    def _sample_behind(self, before: Sequence[Future[Rollout]], step: int) -> Rollout:
        """The rollout of `step`; where the one `before` it failed, that error: an engine is not asked again."""
        for earlier in before:
            earlier.result()
        began = time.perf_counter()
        return replace(self._sample(step), sampled_at=began)


def require_lag(groups: Sequence[Group], learner_step: int, max_lag: int) -> float:
    """Mean steps between the adapter that sampled and the one that learns. RunError unless all are within `max_lag`."""
    lags = [learner_step - completion.policy_version for group in groups for completion in group.completions]
    if not all(lag <= max_lag for lag in lags):
        raise RunError(
            f"step {learner_step + 1}: completions of adapter {learner_step - max(lags)} came to a learner at "
            f"{learner_step}; rollout.max_lag={max_lag} allows less"
        )
    return sum(lags) / max(len(lags), 1)
