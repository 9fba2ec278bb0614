"""What one thing costs in another: the ratio of two paired differences. Shapes: P problems, R resamples."""

from collections.abc import Sequence
from math import nan

import numpy as np

from doubleback.eval.statistics.intervals import Estimate, resampled_means

POINTS, TOKENS = 100.0, 100.0
"""Accuracy is counted in points, of which a share of 1 has 100, and tokens in hundreds."""


def points_per_100_tokens(accuracy_P: Sequence[float], tokens_P: Sequence[float], seed: int = 0) -> Estimate:
    """Points of accuracy gained for every 100 tokens more, of each problem's difference in share right and in tokens.

    For example +0.30 right for +50 tokens is 60 points per 100 tokens. It is the ratio of the two means; its interval
    of 95 % is the percentile bootstrap of that ratio over problems, both means of the same resample. A pair with a NaN
    is left out. NaN unless the mean difference in tokens is above 0, and no interval unless it is in every resample:
    a gain for nothing has no price. ValueError where lengths differ.
    """
    pairs = [(a, t) for a, t in zip(accuracy_P, tokens_P, strict=True) if a == a and t == t]
    gains, costs = [a for a, _ in pairs], [t for _, t in pairs]
    if not sum(costs) > 0:
        return Estimate(nan, nan, nan)
    value = POINTS * TOKENS * sum(gains) / sum(costs)
    # The same seed and the same number of values: the same problems are drawn for both.
    gains_R, costs_R = resampled_means(gains, seed), resampled_means(costs, seed)
    if len(pairs) < 2 or not (costs_R > 0).all():
        return Estimate(value, nan, nan)
    low, high = np.quantile(POINTS * TOKENS * gains_R / costs_R, [0.025, 0.975])
    return Estimate(value, float(low), float(high))
