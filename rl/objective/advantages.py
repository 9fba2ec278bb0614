"""Group-relative advantages. Numbers in, numbers out. Shapes: P problems of a step, G completions of one problem."""

from collections.abc import Callable, Sequence
from statistics import fmean, stdev

StepAdvantage = Callable[[Sequence[Sequence[float]]], Sequence[Sequence[float]]]
"""From the rewards of all groups of a step to their advantages, in the same shape."""
Rewards = Sequence[float | None]
"""Of one group. None marks a completion that was not judged."""

# The smallest spread of rewards that counts as a difference: rewards are sums of a few weights, below it is rounding.
SPREAD_FLOOR = 1e-9
# Added to deviations, as in TRL; the papers state none.
EPSILON = 1e-4


def has_spread(rewards_G: Rewards) -> bool:
    """Whether any two of the judged rewards differ: otherwise every advantage of the group is 0."""
    usable = _usable(rewards_G)
    return bool(usable) and max(usable) - min(usable) >= SPREAD_FLOOR


def centre(rewards_G: Sequence[float]) -> list[float]:
    """Reward minus group mean (Dr. GRPO, arXiv:2503.20783, section 3.2).

    A group without spread gives exact zeros, so that rounding in the mean cannot pass for a signal.
    """
    if not has_spread(rewards_G):
        return [0.0] * len(rewards_G)
    mean = fmean(rewards_G)
    return [reward - mean for reward in rewards_G]


def standardise(rewards_G: Sequence[float], epsilon: float = EPSILON) -> list[float]:
    """Reward minus group mean, over the group's standard deviation (GRPO, arXiv:2402.03300, section 4.1.2).

    As in TRL the deviation is the unbiased one (n - 1) and `epsilon` is added to it; the paper states neither.
    A single reward has no deviation: its advantage is 0.
    """
    centred = centre(rewards_G)
    if not any(centred):
        return centred
    deviation = stdev(rewards_G)
    return [value / (deviation + epsilon) for value in centred]


def leave_one_out(rewards_G: Sequence[float]) -> list[float]:
    """Reward minus the mean of the others: r_i - sum_j!=i r_j / (G - 1), which is G / (G - 1) times `centre` (RLOO,
    arXiv:2402.14740).

    Unbiased, for no reward is part of its own baseline. A single reward has no others: its advantage is 0.
    """
    size = len(rewards_G)
    return [value * size / (size - 1) if size > 1 else 0.0 for value in centre(rewards_G)]


def maxrl(rewards_G: Sequence[float]) -> list[float]:
    """(r_i - mean) / mean: the mean over successes instead of samples, with a baseline (MaxRL, arXiv:2602.02710).

    With rewards of 0 and 1 it estimates the gradient of the log-likelihood of success to order G: hard problems weigh
    1 / pass rate. The paper has no other rewards; here a group whose mean is not positive gives zeros, as no success
    does there. Other code adds 1e-6 to the mean, we nothing: a positive mean of rewards that differ needs none.
    """
    centred = centre(rewards_G)
    mean = fmean(rewards_G)
    return [value / mean for value in centred] if mean > 0 else [0.0] * len(rewards_G)


def one(rewards_G: Sequence[float]) -> list[float]:
    """1 for every completion, whatever its reward: completions that were given to be imitated (`kind: sft`)."""
    return [1.0] * len(rewards_G)


def zero(rewards_G: Sequence[float]) -> list[float]:
    """0 for every completion, whatever its reward: a teacher alone says what is better (`kind: distil`)."""
    return [0.0] * len(rewards_G)


def batch_scaled(
    rewards_PG: Sequence[Sequence[float]], *, by_rewards: bool, epsilon: float = EPSILON
) -> list[list[float]]:
    """Reward minus group mean, over one standard deviation for the whole step.

    by_rewards=False: of the centred rewards (REINFORCE++ with baseline, arXiv:2501.03262); their mean
    over the step is 0 already, so the paper's second centring falls away.
    by_rewards=True: of the rewards themselves (Lite PPO, arXiv:2508.08221; TRL's scale_rewards="batch").
    The deviation is the unbiased one, `epsilon` is added to it. Groups without spread give exact zeros.
    """
    centred_PG = [centre(rewards_G) for rewards_G in rewards_PG]
    values = [value for group in (rewards_PG if by_rewards else centred_PG) for value in group]
    deviation = stdev(values) if len(values) > 1 else 0.0
    return [[value / (deviation + epsilon) for value in centred_G] for centred_G in centred_PG]


def step_advantages(rewards_PG: Sequence[Rewards], advantage: StepAdvantage) -> list[tuple[float | None, ...]]:
    """Advantages of all groups of a step. An unjudged completion enters no statistic and gets None.

    `advantage` sees the judged rewards alone, and no group without any. For example [[1, None, 0], [None, None]] with
    `centre` of each group is centre([1, 0]) = [0.5, -0.5], which gives [(0.5, None, -0.5), (None, None)].
    """
    usable_PG = [_usable(rewards_G) for rewards_G in rewards_PG]
    values_of_groups = iter(advantage([usable_G for usable_G in usable_PG if usable_G]))
    values_PG = [next(values_of_groups) if usable_G else [] for usable_G in usable_PG]
    return [_with_gaps(rewards_G, values_G) for rewards_G, values_G in zip(rewards_PG, values_PG, strict=True)]


def _usable(rewards_G: Rewards) -> list[float]:
    return [reward for reward in rewards_G if reward is not None]


def _with_gaps(rewards_G: Rewards, values: Sequence[float]) -> tuple[float | None, ...]:
    remaining = iter(values)
    return tuple(None if reward is None else next(remaining) for reward in rewards_G)
