"""The coefficient of the entropy bonus: constant, or moved so that the mean entropy stays near a target."""

import math
from collections.abc import Sequence


def next_coefficient(coefficient: float, entropy: float, *, target: float, delta: float, highest: float) -> float:
    """The coefficient after a step whose mean entropy was `entropy` (nats): up by `delta` at or under the target, down
    above it, within [0, highest] (Skywork-OR1, arXiv:2505.22312).

    The paper has no upper bound; TRL's is 1.
    """
    moved = coefficient + delta if entropy <= target else coefficient - delta
    return min(max(moved, 0.0), highest)


def applied_coefficient(coefficient: float, last_entropy: float, target: float | None) -> float:
    """What multiplies the entropy now: the coefficient, but 0 while the last step's entropy was above the target.

    (Same source, alpha_k = c_k * 1[entropy <= target].) Without a target the coefficient itself. Before any step
    `last_entropy` is infinite, as in TRL.
    """
    return coefficient if target is None or last_entropy <= target else 0.0


class EntropyCoefficient:
    """The coefficient over the steps of a run. Without a target it never moves."""

    def __init__(self, start: float, target: float | None, delta: float, highest: float) -> None:
        self._coefficient, self._last_entropy = start, math.inf
        self._target, self._delta, self._highest = target, delta, highest

    @property
    def applied(self) -> float:
        """What multiplies the entropy now."""
        return applied_coefficient(self._coefficient, self._last_entropy, self._target)

    def adapt(self, entropy: float) -> None:
        """After a step whose mean entropy was this; NaN, where no token was trained, changes nothing."""
        if self._target is not None and not math.isnan(entropy):
            self._coefficient = next_coefficient(
                self._coefficient, entropy, target=self._target, delta=self._delta, highest=self._highest
            )
            self._last_entropy = entropy

    def state(self) -> tuple[float, float]:
        """What exact resume needs."""
        return self._coefficient, self._last_entropy

    def restore(self, state: Sequence[float]) -> None:
        """Continue from a `state()`."""
        self._coefficient, self._last_entropy = state
