"""pass@k against brute force; the interval against what it promises."""

from itertools import combinations
from math import isnan

import numpy as np
import pytest

from doubleback.eval.passk import clustered, pass_at_k


@pytest.mark.parametrize("num_samples", [1, 2, 5, 8])
def test_pass_at_k_is_the_mean_over_all_draws(num_samples):
    for num_correct in range(num_samples + 1):
        outcomes = [True] * num_correct + [False] * (num_samples - num_correct)
        for k in range(1, num_samples + 1):
            draws = [any(draw) for draw in combinations(outcomes, k)]
            assert pass_at_k(num_samples, num_correct, k) == pytest.approx(sum(draws) / len(draws), abs=1e-12)


def test_pass_at_k_by_hand():
    # 4 samples, 1 correct, 2 drawn: 1 - C(3,2)/C(4,2) = 1 - 3/6
    assert pass_at_k(4, 1, 2) == 0.5
    assert pass_at_k(16, 4, 1) == 0.25


def test_undefined_is_nan_and_impossible_is_an_error():
    assert isnan(pass_at_k(0, 0, 1))
    with pytest.raises(ValueError, match="pass@5 cannot be estimated from 4 samples"):
        pass_at_k(4, 2, 5)
    assert isnan(clustered([]).value)


def test_clustered_mean_leaves_out_what_was_not_measured():
    estimate = clustered([0.0, 1.0, float("nan"), 1.0])
    assert estimate.value == pytest.approx(2 / 3, abs=1e-12)
    assert estimate.low <= estimate.value <= estimate.high


def test_clustered_interval_covers_where_the_naive_one_does_not():
    """300 evaluations of 60 problems x 8 samples, difficulty spread Beta(0.5, 0.5): 95 % means 95 %."""
    rng = np.random.default_rng(0)
    covered = naive = 0
    for trial in range(300):
        difficulty = rng.beta(0.5, 0.5, size=60)
        rates = rng.binomial(8, difficulty) / 8
        estimate = clustered(rates, seed=trial)
        covered += estimate.low <= 0.5 <= estimate.high
        half = 1.96 * np.sqrt(rates.mean() * (1 - rates.mean()) / (60 * 8))
        naive += abs(rates.mean() - 0.5) <= half
    assert 0.91 <= covered / 300 <= 0.98
    assert naive / 300 < 0.75
