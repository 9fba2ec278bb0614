"""Which adapter samples which step, and which adapters travel at all: a function of the step's number alone.

Nothing here looks at the clock. A step that is sampled ahead comes of an adapter that is fixed beforehand, so that the
run is the same however fast engine and learner are, and a run that goes on is the one that never stopped. Between two
checkpoints, with rollout.max_lag = L, size = L // 2 + 1 steps and gap = L + 1 - size:

    the first step            is sampled when it is due, of the newest adapter, as without rollout.ahead
    then `size` at a time     of one adapter: the one that is `gap` steps older than the first of them needs

so that lags are `gap` to L, and an adapter of which nothing will be sampled need not travel. For example L = 3, behind
a checkpoint of step 0:

    step      1   2   3   4   5   6   7   8   9
    adapter   0   0   0   1   1   3   3   5   5      adapters 2, 4 and 6 stay where they are
    lag       0   1   2   2   3   2   3   2   3

L = 1 is one step after the other, each of the adapter before: 0 0 1 2 3 4 ... Between two pushes the engine samples
`size` steps while the learner makes as many updates, so that neither waits for the other's slowest step, and the
receipt is paid once for all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

from doubleback.rl.config import RolloutConfig


@dataclass(frozen=True, slots=True)
class Pace:
    """The schedule of a run."""

    config: RolloutConfig
    start: int
    """The step behind which the run begins, or goes on."""
    saves: Callable[[int], bool]
    """Whether a checkpoint is due after a step: nothing behind it is sampled before it."""
    measures: Callable[[int], bool]
    """Whether the engine is to be measured after a step: it must have that step's adapter then."""

    def adapter_of(self, step: int) -> int:
        """The step whose adapter samples `step`."""
        before = step - 1
        while before > self.start and not self.saves(before):
            before -= 1
        number = step - before  # 1 is the first behind the checkpoint
        if number == 1 or not self.config.ahead:
            return step - 1
        size = self.config.steps_of_adapter
        gap = self.config.max_lag + 1 - size
        first = number - (number - 2) % size
        return before + max(0, first - 1 - gap)

    def ready(self, step: int) -> list[int]:
        """What may be sampled beside the update of `step`: the later steps whose adapter is older than its own."""
        later = range(step + 1, step + 1 + self.config.max_lag) if self.config.ahead else range(0)
        return [item for item in later if self.adapter_of(item) < step]

    def delivers(self, step: int) -> bool:
        """Whether the adapter of `step` goes to the engine: something is sampled or measured of it, or it is saved.

        Where each step has an adapter of its own, every one goes.
        """
        later = range(step + 1, step + 2 + self.config.max_lag)
        is_sampled = self.config.steps_of_adapter == 1 or any(self.adapter_of(item) == step for item in later)
        return is_sampled or self.saves(step) or self.measures(step)
