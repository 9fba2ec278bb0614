"""Intervals against what they promise: the score interval solves its equation, the bootstrap covers."""

import math
import tracemalloc
from math import isnan, nan

import numpy as np
import pytest

from doubleback.eval.statistics import intervals
from doubleback.eval.statistics.intervals import RESAMPLES, Estimate, clustered, interval, resampled_means, wilson

Z = 1.959963984540054
"""From a table of the normal distribution."""


@pytest.mark.parametrize("total", [1, 2, 7, 30, 349, 10_000])
def test_wilson_ends_solve_the_equation_of_the_score_test(total):
    """(p - share)^2 = z^2 p (1 - p) / total, a quadratic in p: its roots, to 1e-12."""
    for num_correct in {0, 1, total // 3, total // 2, total - 1, total}:
        share = num_correct / total
        low, high = sorted(np.roots([1 + Z**2 / total, -(2 * share + Z**2 / total), share**2]).real)
        estimate = wilson(num_correct, total)
        assert estimate.value == share
        assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=1e-12)


def test_wilson_by_hand():
    # 0 of 10: from 0 to z^2 / (10 + z^2) = 3.841459 / 13.841459
    assert wilson(0, 10) == Estimate(0.0, 0.0, pytest.approx(0.27753280, abs=1e-8))
    # 5 of 10: (p - 1/2)^2 = z^2 p (1 - p) / 10 gives 1/2 +- z / (2 sqrt(10 + z^2)) = 1/2 +- 0.26340691
    assert wilson(5, 10) == Estimate(0.5, pytest.approx(0.23659309, abs=1e-8), pytest.approx(0.76340691, abs=1e-8))


@pytest.mark.parametrize("total", [1, 3, 10, 64, 1319])
def test_wilson_touches_the_end_at_none_and_at_all(total):
    none, every = wilson(0, total), wilson(total, total)
    assert (none.value, none.low, every.value, every.high) == (0.0, 0.0, 1.0, 1.0)
    assert none.high == pytest.approx(Z**2 / (total + Z**2), abs=1e-12)
    assert every.low == pytest.approx(total / (total + Z**2), abs=1e-12)


def test_wilson_of_the_wrong_ones_is_the_mirror_image():
    for num_correct in range(31):
        right, wrong = wilson(num_correct, 30), wilson(30 - num_correct, 30)
        assert (wrong.low, wrong.high) == pytest.approx((1 - right.high, 1 - right.low), abs=1e-12)


def test_wilson_is_undefined_without_trials_and_refuses_impossible_counts():
    estimate = wilson(0, 0)
    assert isnan(estimate.value)
    assert isnan(estimate.low)
    assert isnan(estimate.high)
    for num_correct in (-1, 5):
        with pytest.raises(ValueError, match=f"num_correct={num_correct} must be from 0 to total=4"):
            wilson(num_correct, 4)


def test_clustered_mean_leaves_out_what_was_not_measured():
    estimate = clustered([0.0, 1.0, nan, 1.0])
    assert estimate.value == pytest.approx(2 / 3, abs=1e-12)
    assert estimate == clustered([0.0, 1.0, 1.0])
    assert isnan(clustered([]).value)
    assert isnan(clustered([nan]).high)


def test_clustered_interval_of_two_problems_by_hand():
    # Means of two draws from 0 and 1 are 0, 1/2 and 1, with 1/4, 1/2 and 1/4: both ends have more than 2.5 %.
    assert clustered([0.0, 1.0]) == Estimate(0.5, 0.0, 1.0)


def test_one_problem_has_a_value_and_no_interval():
    alone = clustered([0.25, math.nan])
    assert alone.value == 0.25
    assert math.isnan(alone.low)
    assert math.isnan(alone.high)


@pytest.mark.parametrize("block_size", [100, intervals.BLOCK_SIZE])
@pytest.mark.parametrize("num_problems", [2, 3, 64, 777, 1501])
def test_blocks_draw_the_numbers_of_one_call_to_the_last_bit(monkeypatch, num_problems, block_size):
    """Blocks of an odd number of draws included: half of a 64-bit random number then waits for the next block."""
    values = np.random.default_rng(1).beta(0.4, 0.6, size=num_problems)
    picks = np.random.default_rng(7).integers(0, num_problems, size=(RESAMPLES, num_problems))
    expected = values[picks].mean(axis=1)
    monkeypatch.setattr(intervals, "BLOCK_SIZE", block_size)
    assert np.array_equal(resampled_means(list(values), seed=7), expected)
    low, high = np.quantile(expected, [0.025, 0.975])
    assert clustered(list(values), seed=7) == Estimate(float(values.mean()), float(low), float(high))


def test_ten_thousand_problems_fit_in_100_megabytes():
    values = [0.5] * 10_000
    tracemalloc.start()
    clustered(values)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6


@pytest.mark.slow
def test_clustered_interval_covers_where_the_binomial_one_does_not():
    """1,000 evaluations of 200 problems x 8 samples, difficulty Beta(0.4, 0.6), so a true mean of 0.4.

    95 % means 93 % to 97 %: three standard errors of the simulation. Over all 1,600 samples as if independent, the
    interval is too short by sqrt(1 + 7 / (0.4 + 0.6 + 1)) = 2.1, which covers 64 %.
    """
    rng = np.random.default_rng(0)
    num_covered = num_covered_binomial = 0
    for trial in range(1000):
        num_correct = rng.binomial(8, rng.beta(0.4, 0.6, size=200))
        by_problem, by_sample = clustered(list(num_correct / 8), seed=trial), wilson(int(num_correct.sum()), 1600)
        num_covered += by_problem.low <= 0.4 <= by_problem.high
        num_covered_binomial += by_sample.low <= 0.4 <= by_sample.high
    print(f"covered: {num_covered} of 1000 by problem, {num_covered_binomial} of 1000 by sample")
    assert 930 <= num_covered <= 970
    assert num_covered_binomial < 800


def test_the_interval_fits_what_was_measured():
    """Wilson's for one sample a problem; a bootstrap for shares, and for 0 and 1 that several samples agree on."""
    nan = float("nan")
    assert interval([1.0, nan, 1.0], is_single=True) == wilson(2, 2)
    assert interval([1.0, nan, 1.0], is_single=False) == Estimate(1.0, 1.0, 1.0)
    assert interval([0.5, nan, 1.0], is_single=True) == clustered([0.5, 1.0])
    assert math.isnan(interval([nan], is_single=True).value)
