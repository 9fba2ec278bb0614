"""Intervals that say how far a measured mean can be trusted. Shapes: P problems, R resamples."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
BLOCK_SIZE = 1_000_000
"""Picks held at once by the bootstrap: with the values picked, 16 MB."""
Z = NormalDist().inv_cdf(0.975)
"""Standard deviations of a normal on each side of its mean that hold 95 %."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured value with its 95 % interval. NaN where undefined."""

    value: float
    """The mean or share measured."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""


def wilson(num_correct: int, total: int) -> Estimate:
    """Share of `num_correct` in `total` independent trials, with its 95 % score interval.

    Wilson 1927 (JASA 22:209-212): the p with (p - share)^2 <= z^2 p (1 - p) / total. Unlike share +- z standard errors
    it stays within 0 and 1 and has a width at 0 and `total`. NaN where total is 0; ValueError where num_correct is not
    from 0 to total. For one sample a problem: several of one problem are not independent.
    """
    if not 0 <= num_correct <= total:
        raise ValueError(f"num_correct={num_correct} must be from 0 to total={total}")
    if total == 0:
        return Estimate(nan, nan, nan)
    return Estimate(
        value=num_correct / total,
        low=_lower_root(num_correct, total),
        high=1.0 - _lower_root(total - num_correct, total),
    )


def _lower_root(num_correct: int, total: int) -> float:
    # Product of the roots over the upper one: the textbook centre - half cancels, and misses 0 where it is exact.
    half = Z * sqrt(num_correct * (total - num_correct) / total + Z * Z / 4)
    return num_correct * num_correct / total / (num_correct + Z * Z / 2 + half)


def clustered(values_P: Sequence[float], seed: int = 0) -> Estimate:
    """Mean of one value per problem, with a 95 % percentile bootstrap over problems (the clusters).

    Resampling single completions instead would pretend that n samples of one problem are n problems, and print an
    interval of half the true width. Problems whose value is NaN (nothing to measure) are left out. One problem has a
    value and no interval: it says nothing of how problems differ.
    """
    values_P = [value for value in values_P if value == value]
    if len(values_P) < 2:
        return Estimate(values_P[0] if values_P else nan, nan, nan)
    low, high = np.quantile(resampled_means(values_P, seed), [0.025, 0.975])
    return Estimate(float(np.mean(values_P)), float(low), float(high))


def interval(values_P: Sequence[float], is_single: bool) -> Estimate:
    """Mean of one value per problem with the 95 % interval that fits: Wilson's, or a bootstrap over problems.

    Wilson's where each value is 0 or 1 and one sample's (`is_single`): it has a width where all are equal. Problems
    whose value is NaN (nothing to measure) are left out.
    """
    measured = [value for value in values_P if value == value]
    if is_single and set(measured) <= {0.0, 1.0}:
        return wilson(round(sum(measured)), len(measured))
    return clustered(measured)


def resampled_means(values_P: Sequence[float], seed: int) -> NDArray[np.float64]:
    """means_R: the mean of P values drawn with replacement, RESAMPLES times. ValueError where there are no values."""
    values, num_problems = np.asarray(values_P, dtype=np.float64), len(values_P)
    rng = np.random.default_rng(seed)
    # The generator goes on where it stopped: blocks of rows draw what one call for all of them would.
    num_rows = max(1, BLOCK_SIZE // num_problems)
    shapes = [(min(num_rows, RESAMPLES - start), num_problems) for start in range(0, RESAMPLES, num_rows)]
    return np.concatenate([values[rng.integers(0, num_problems, size=shape)].mean(axis=1) for shape in shapes])
