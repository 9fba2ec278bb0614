"""Did the second policy do better than the first on the same problems? Shapes: P problems, R resamples."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import nan

import numpy as np
from numpy.typing import NDArray

from doubleback.eval.statistics.intervals import RESAMPLES, Estimate, clustered, resampled_means

EXACT, BOOTSTRAP = "exact McNemar", "paired cluster bootstrap"
ROUNDING = 1e-12
"""Times the largest value: mean differences as small as that are 0. In floats 0.3 - 0.2 and 0.1 - 0.2 do not cancel."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How much the second policy differs from the first, and whether that can be chance."""

    difference: Estimate
    """Mean over problems of second minus first; 95 % percentile bootstrap over problems."""
    p_value: float
    """Two-sided, of no difference. NaN where there are no pairs."""
    method: str
    """How the p-value was found: "exact McNemar" or "paired cluster bootstrap"."""


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value that problems solved by one policy only are as often the first's as the second's.

    McNemar 1947 (Psychometrika 12:153-157) with the binomial in place of his chi-square: each discordant pair is a fair
    coin, p = min(1, 2 P(X <= min(only_first, only_second))), in exact integers. 1 where there are none. ValueError
    where a count is negative.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"only_first={only_first} and only_second={only_second} count problems; none may be negative")
    # Counts from numpy are of 64 bits, and the products below are not.
    smaller, num_discordant = int(min(only_first, only_second)), int(only_first + only_second)
    # C(m, i + 1) = C(m, i) (m - i) / (i + 1)
    coefficients = accumulate(range(smaller), lambda c, i: c * (num_discordant - i) // (i + 1), initial=1)
    return min(1.0, 2 * sum(coefficients) / (1 << num_discordant))


def paired_difference(first_P: Sequence[float], second_P: Sequence[float], n: int, seed: int = 0) -> PairedDifference:
    """Second minus first, one value per problem each, in the same order; `n` samples stand behind each value.

    Pairing takes out that problems differ in difficulty (Miller 2024, arXiv:2411.00640; its paired standard error is a
    bootstrap over problems here). The p-value is of the same bootstrap where n > 1. For n = 1 values are 0 or 1, and it
    is McNemar's. A pair with a NaN is left out. NaN without pairs. ValueError where lengths differ, n < 1, or n = 1
    comes with other values.
    """
    if len(first_P) != len(second_P):
        raise ValueError(f"{len(first_P)} first values for {len(second_P)} second ones; give one of each per problem")
    if n < 1:
        raise ValueError(f"n={n} samples a problem must be at least 1")
    pairs = [(a, b) for a, b in zip(first_P, second_P, strict=True) if a == a and b == b]
    difference = clustered([b - a for a, b in pairs], seed)
    method = EXACT if n == 1 else BOOTSTRAP
    if not pairs:
        return PairedDifference(difference, nan, method)
    p_value = _mcnemar_of_pairs(pairs) if n == 1 else _bootstrap_p_value(pairs, seed)
    return PairedDifference(difference, p_value, method)


def _mcnemar_of_pairs(pairs: Sequence[tuple[float, float]]) -> float:
    if odd := {value for pair in pairs for value in pair} - {0.0, 1.0}:
        raise ValueError(f"with n=1 every value must be 0 or 1, not {min(odd)}; give n > 1 to bootstrap other values")
    return mcnemar(only_first=sum(a > b for a, b in pairs), only_second=sum(a < b for a, b in pairs))


def _bootstrap_p_value(pairs: Sequence[tuple[float, float]], seed: int) -> float:
    means_R = resampled_means([b - a for a, b in pairs], seed)
    return two_sided(means_R, largest=max(abs(value) for pair in pairs for value in pair))


def two_sided(means_R: NDArray[np.float64], largest: float) -> float:
    """2 min(share of resampled mean differences <= 0, share >= 0), at most 1. NaN where a resample is.

    Efron and Tibshirani 1993, section 15.4: the level at which the percentile interval touches 0. Shares are
    (count + 1) / (RESAMPLES + 1) (Phipson and Smyth 2010, arXiv:1603.05766), so that p is never 0. `largest`: of the
    values whose differences these are, which says how small a difference is rounding.
    """
    if np.isnan(means_R).any():
        return nan
    rounding = ROUNDING * largest
    num_below, num_above = np.count_nonzero(means_R <= rounding), np.count_nonzero(means_R >= -rounding)
    return min(1.0, 2 * (min(num_below, num_above) + 1) / (RESAMPLES + 1))
