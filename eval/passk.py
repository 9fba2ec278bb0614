"""pass@k without bias, and intervals that know samples of one problem are not independent. Shapes: P problems."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, nan

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured value with its 95 % interval. NaN where undefined."""

    value: float
    low: float
    high: float


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """Probability that at least one of k samples drawn without replacement is correct: 1 - C(n-c, k) / C(n, k).

    Unbiased (Chen et al. 2021, arXiv:2107.03374, eq. 1), in exact integers. NaN without samples; ValueError where
    k > num_samples, since it cannot be estimated from them.
    """
    if num_samples == 0:
        return nan
    if not 1 <= k <= num_samples:
        raise ValueError(f"pass@{k} cannot be estimated from {num_samples} samples a problem")
    return 1.0 - comb(num_samples - num_correct, k) / comb(num_samples, k)


def clustered(values_P: Sequence[float], seed: int = 0) -> Estimate:
    """Mean of one value per problem, with a 95 % percentile bootstrap over problems (the clusters).

    Resampling single completions instead would pretend that n samples of one problem are n problems, and print an
    interval of half the true width. Problems whose value is NaN (nothing to measure) are left out.
    """
    values = np.asarray([value for value in values_P if value == value], dtype=np.float64)
    if len(values) == 0:
        return Estimate(nan, nan, nan)
    picks = np.random.default_rng(seed).integers(0, len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[picks].mean(axis=1), [0.025, 0.975])
    return Estimate(float(values.mean()), float(low), float(high))
