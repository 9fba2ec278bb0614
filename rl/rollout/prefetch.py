"""The rollouts of the steps, one by one: sampled when a step begins, or while the step before is still learned.

Ahead, a batch comes of the adapter one step older than the one that learns from it: one step off-policy. The importance
weight between trainer and sampler corrects for that as it does for other roundings; `require_lag` bounds it.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from doubleback.rewards.types import RunError
from doubleback.rl.rollout.sampler import Rollout
from doubleback.rl.stopwatch import Stopwatch
from doubleback.rl.types import Group


class Rollouts:
    """`sample` makes the rollout of a step; its engine must bear being used from another thread."""

    def __init__(self, sample: Callable[[int, Stopwatch], Rollout]) -> None:
        self._sample = sample
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="rollout")
        self._pending: tuple[int, Future[Rollout], Stopwatch] | None = None

    def begin(self, step: int) -> None:
        """Start to sample `step` and return at once."""
        watch = Stopwatch()
        self._pending = step, self._pool.submit(self._sample, step, watch), watch

    def wait(self) -> None:
        """Until nothing is being sampled: the engine may take a new adapter now."""
        if self._pending is not None:
            wait([self._pending[1]])

    def take(self, step: int, watch: Stopwatch) -> Rollout:
        """The rollout of `step`: the one begun, or a new one."""
        if self._pending is None or self._pending[0] != step:
            return self._sample(step, watch)
        _, future, theirs = self._pending
        self._pending = None
        rollout = future.result()
        watch.add(theirs)
        return rollout

    def close(self) -> None:
        """Wait for what is being sampled and throw it away."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def require_lag(groups: Sequence[Group], step: int, max_lag: int) -> float:
    """Mean steps between the adapter that sampled and the one that learns, `step`. RunError above `max_lag`."""
    lags = [step - completion.policy_version for group in groups for completion in group.completions]
    if lags and max(lags) > max_lag:
        raise RunError(
            f"step {step + 1}: completions of adapter {step - max(lags)} came to a learner at {step}; engine.max_lag="
            f"{max_lag} allows less"
        )
    return sum(lags) / max(len(lags), 1)
