"""One long sample against several short ones that cost as much. Shapes: P problems, R resamples.

A policy that searches in its completions spends more tokens on a sample than one that guesses. Is its pass@1 above the
other's pass@k, where k samples are as many tokens? arXiv:2504.07052 asks that of countdown, with k samples in parallel;
here k is what the tokens say, a whole number or not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, isnan, nan

import numpy as np
from numpy.typing import NDArray

from doubleback.eval.statistics.intervals import Estimate, resampled_means
from doubleback.eval.statistics.paired import two_sided
from doubleback.eval.statistics.passk import pass_at_k

Mean = Callable[[Sequence[float]], NDArray[np.float64]]
"""The mean of P values, or the R means of their resamples: the same draws of problems at every call."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What a policy did with one problem."""

    num_samples: int
    """Those that could be judged."""
    num_correct: int
    """Of these."""
    tokens: float
    """Of a completion, on average. NaN where nobody counted them."""


@dataclass(frozen=True, slots=True)
class EqualTokens:
    """Searcher and guesser at the same number of tokens a problem. NaN where it cannot be told."""

    tokens: float
    """Of one sample of the searcher, mean over problems: what both may spend on a problem."""
    k: float
    """Samples of the guesser that are as many tokens."""
    searcher: float
    """pass@1."""
    guesser: float
    """pass@k."""
    difference: Estimate
    """Searcher minus guesser, with a 95 % percentile bootstrap over problems, in which k is found anew each time."""
    p_value: float
    """Two-sided, of no difference, of the same bootstrap."""


def pass_at_budget(curve: Mapping[int, float], k: float) -> float:
    """pass@k for a real k >= 0: on the line between pass@floor(k) and pass@ceil(k), where pass@0 is 0.

    It is what drawing ceil(k) samples with probability k - floor(k), else floor(k), comes to: k samples on average, and
    so the budget exactly. For example pass@1 = .4 and pass@2 = .6 are .5 at k = 1.5. `curve`: whole number -> pass@ it.
    NaN where k is, and where the curve lacks a number that is needed.
    """
    if isnan(k):
        return nan
    low, share = floor(k), k - floor(k)
    ends = [(1 - share, low), (share, ceil(k))] if share else [(1.0, low)]
    return sum(weight * (curve.get(whole, nan) if whole else 0.0) for weight, whole in ends)


def at_equal_tokens(searcher_P: Sequence[Tried], guesser_P: Sequence[Tried], seed: int = 0) -> EqualTokens:
    """The searcher's pass@1 minus the guesser's pass@k, k = mean tokens of the one / mean tokens of the other.

    Tokens are those of completions. k is one for all problems, so that nothing of a problem decides how often it is
    tried. The policies have the problems in the same order; one is left out for both where either has no sample that
    could be judged, or no count of tokens. NaN where k is beyond the samples that the guesser has of every problem; the
    interval alone, where the k of a resample is. ValueError where lengths differ.
    """
    pairs = [(a, b) for a, b in zip(searcher_P, guesser_P, strict=True) if _is_known(a) and _is_known(b)]
    if not pairs:
        return EqualTokens(nan, nan, nan, nan, Estimate(nan, nan, nan), nan)
    found = _spent(pairs, lambda values: np.array([np.mean(values)]))
    tokens, k, searcher, guesser = (float(values[0]) for values in found)
    low, high, p_value = nan, nan, nan
    if len(pairs) > 1:  # one problem says nothing of how they differ
        _, _, searcher_R, guesser_R = _spent(pairs, lambda values: resampled_means(values, seed))
        low, high = (float(end) for end in np.quantile(searcher_R - guesser_R, [0.025, 0.975]))
        p_value = two_sided(searcher_R - guesser_R, largest=1.0)
    return EqualTokens(tokens, k, searcher, guesser, Estimate(searcher - guesser, low, high), p_value)


def _spent(pairs: Sequence[tuple[Tried, Tried]], mean: Mean) -> tuple[NDArray[np.float64], ...]:
    """tokens, k, pass@1 of the searcher and pass@k of the guesser, each as `mean` has it."""
    tokens = mean([searcher.tokens for searcher, _ in pairs])
    with np.errstate(divide="ignore", invalid="ignore"):  # a guesser that says nothing could do so for ever
        k = tokens / mean([guesser.tokens for _, guesser in pairs])
    most = min(guesser.num_samples for _, guesser in pairs)
    k[~(k <= most)] = nan
    needed = {whole for value in k[~np.isnan(k)] for whole in (floor(value), ceil(value)) if whole}
    curves = {whole: mean([pass_at_k(it.num_samples, it.num_correct, whole) for _, it in pairs]) for whole in needed}
    at_k = [pass_at_budget({whole: curve[row] for whole, curve in curves.items()}, it) for row, it in enumerate(k)]
    return tokens, k, mean([it.num_correct / it.num_samples for it, _ in pairs]), np.array(at_k)


def _is_known(tried: Tried) -> bool:
    return tried.num_samples > 0 and not isnan(tried.tokens)
