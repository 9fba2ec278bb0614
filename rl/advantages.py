"""Group-relative advantages. Numbers in, numbers out."""

from collections.abc import Callable, Sequence
from statistics import fmean, stdev

Advantage = Callable[[Sequence[float]], list[float]]

# The smallest spread of rewards that counts as a difference: rewards are sums of a few weights, below it is rounding.
SPREAD_FLOOR = 1e-9


def centre(rewards_G: Sequence[float]) -> list[float]:
    """Reward minus group mean (Dr. GRPO, arXiv:2503.20783, section 3.2).

    A group without spread gives exact zeros, so that rounding in the mean cannot pass for a signal.
    """
    if max(rewards_G) - min(rewards_G) < SPREAD_FLOOR:
        return [0.0] * len(rewards_G)
    mean = fmean(rewards_G)
    return [reward - mean for reward in rewards_G]


def standardise(rewards_G: Sequence[float], epsilon: float = 1e-4) -> list[float]:
    """Reward minus group mean, over the group's standard deviation (GRPO, arXiv:2402.03300, section 4.1.2).

    As in TRL the deviation is the unbiased one (n - 1) and `epsilon` is added to it; the paper states neither.
    A single reward has no deviation: its advantage is 0.
    """
    centred = centre(rewards_G)
    if not any(centred):
        return centred
    deviation = stdev(rewards_G)
    return [value / (deviation + epsilon) for value in centred]


ADVANTAGES: dict[str, Advantage] = {"centre": centre, "standardise": standardise}


def group_advantages(rewards_G: Sequence[float | None], advantage: Advantage) -> tuple[float | None, ...]:
    """Advantages of one group. None marks a completion that was not judged: it enters no statistic and gets None."""
    usable = [reward for reward in rewards_G if reward is not None]
    values = iter(advantage(usable) if usable else [])
    return tuple(None if reward is None else next(values) for reward in rewards_G)
