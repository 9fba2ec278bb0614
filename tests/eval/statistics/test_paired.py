"""Paired comparisons: exact where they can be enumerated, honest under the null, able to find a difference."""

from itertools import product
from math import isnan, nan

import numpy as np
import pytest

from doubleback.eval.statistics.intervals import RESAMPLES, Estimate, clustered
from doubleback.eval.statistics.paired import BOOTSTRAP, EXACT, mcnemar, paired_difference


@pytest.mark.parametrize("num_discordant", range(13))
def test_mcnemar_is_the_share_of_sign_patterns_at_least_as_lopsided(num_discordant):
    leads = [abs(sum(signs)) for signs in product([-1, 1], repeat=num_discordant)]
    for only_first in range(num_discordant + 1):
        only_second = num_discordant - only_first
        expected = sum(lead >= abs(only_first - only_second) for lead in leads) / len(leads)
        assert mcnemar(only_first, only_second) == pytest.approx(expected, abs=1e-12)


def test_mcnemar_by_hand():
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(0, 5) == 0.0625  # 2 * 1/32
    assert mcnemar(9, 1) == 0.021484375  # 2 * (1 + 10) / 1024
    assert mcnemar(500, 500) == 1.0
    assert mcnemar(np.int64(60), np.int64(40)) == mcnemar(60, 40) == pytest.approx(0.0569, abs=1e-4)  # beyond 64 bits
    assert mcnemar(0, 3000) == 0.0  # below the smallest float, not an overflow
    with pytest.raises(ValueError, match="only_first=-1"):
        mcnemar(-1, 3)


def test_one_sample_a_problem_by_hand():
    result = paired_difference([0, 1, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1, 1], n=1)
    assert result.method == EXACT
    assert result.p_value == 0.0625  # five to none
    assert result.difference == clustered([1, 0, 1, 1, 1, 1, 0])
    assert result.difference.value == pytest.approx(5 / 7, abs=1e-12)


def test_the_bootstrap_p_value_is_that_of_all_resamples():
    """The 4^4 resamples of four differences, enumerated; 2,000 random ones come within 0.06, over 3 standard errors."""
    first, second = [0.5, 0.25, 0.75, 0.0], [0.75, 0.75, 0.5, 0.125]
    differences = [0.25, 0.5, -0.25, 0.125]
    means = [sum(resample) / 4 for resample in product(differences, repeat=4)]
    exact = 2 * min(sum(mean <= 0 for mean in means), sum(mean >= 0 for mean in means)) / len(means)
    result = paired_difference(first, second, n=8)
    assert result.method == BOOTSTRAP
    assert 0.1 < exact < 0.4
    assert result.p_value == pytest.approx(exact, abs=0.06)
    assert result.difference == clustered(differences)


def test_the_bootstrap_p_value_is_never_zero_and_never_above_one():
    assert paired_difference([0.25], [0.5], n=4).p_value == 2 / (RESAMPLES + 1)
    same = paired_difference([0.25, 0.5], [0.25, 0.5], n=4)
    assert (same.difference, same.p_value) == (Estimate(0.0, 0.0, 0.0), 1.0)


def test_differences_that_cancel_count_for_both_sides_whatever_floats_say():
    """Shares of 10 samples give the p-value of their counts, where nothing rounds; 0.3 - 0.2 is not 0.1 in floats."""
    rng = np.random.default_rng(0)
    for seed in range(20):
        first, second = rng.integers(0, 11, size=(2, 6))
        by_count = paired_difference([float(it) for it in first], [float(it) for it in second], n=10, seed=seed)
        by_share = paired_difference([it / 10 for it in first], [it / 10 for it in second], n=10, seed=seed)
        assert by_share.p_value == by_count.p_value


def simulated(rng, n, shift=0.0, num_problems=200):
    """Shares of n samples right of two policies, difficulty Beta(0.4, 0.6), the second's log-odds `shift` higher."""
    chance = rng.beta(0.4, 0.6, size=num_problems)
    better = easier(chance, shift)
    return list(rng.binomial(n, chance) / n), list(rng.binomial(n, better) / n)


def easier(chance, shift):
    return chance / (chance + (1 - chance) * np.exp(-shift))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "least", "most"),
    [
        (8, 0.02, 0.085),  # 0.05, and three standard errors of 400 simulations: 0.033
        (1, 0.01, 0.07),  # below 0.05 since discrete: about 0.04
    ],
)
def test_without_a_difference_one_in_twenty_is_called_one(n, least, most):
    rng = np.random.default_rng(0)
    p_values = [paired_difference(*simulated(rng, n), n=n, seed=seed).p_value for seed in range(400)]
    share = np.mean([p_value < 0.05 for p_value in p_values])
    print(f"n={n}: {share:.4f} of 400 below 0.05")
    assert least <= share <= most


@pytest.mark.parametrize("n", [1, 8])
def test_a_difference_is_found_and_its_interval_covers_it(n):
    """Log-odds 1.5 higher: found in over 95 of 100, covered in 88 or more, which is 95 less three standard errors."""
    rng = np.random.default_rng(0)
    chance = rng.beta(0.4, 0.6, size=1_000_000)
    truth = np.mean(easier(chance, 1.5) - chance)
    num_found = num_covered = 0
    for seed in range(100):
        result = paired_difference(*simulated(rng, n, shift=1.5), n=n, seed=seed)
        num_found += result.p_value < 0.05 and result.difference.value > 0
        num_covered += result.difference.low <= truth <= result.difference.high
    print(f"n={n}: found {num_found}, covered {num_covered} of 100")
    assert num_found > 95
    assert num_covered >= 88


@pytest.mark.parametrize("n", [1, 8])
def test_swapping_the_two_negates_the_difference_and_keeps_p(n):
    first, second = simulated(np.random.default_rng(5), n, shift=0.3)
    there, back = paired_difference(first, second, n=n), paired_difference(second, first, n=n)
    ends = (-back.difference.value, -back.difference.high, -back.difference.low)
    assert ends == pytest.approx((there.difference.value, there.difference.low, there.difference.high), abs=1e-12)
    assert there.difference.value != 0
    assert back.p_value == there.p_value


@pytest.mark.parametrize("n", [1, 8])
def test_the_order_of_problems_moves_nothing_but_the_draw(n):
    """The difference to 1e-12, McNemar's p to the last bit; a bootstrap's p within 0.05 and ends within 0.005."""
    first, second = simulated(np.random.default_rng(5), n, shift=0.3)
    order = np.random.default_rng(1).permutation(len(first))
    result, moved = (
        paired_difference(first, second, n=n),
        paired_difference([first[i] for i in order], [second[i] for i in order], n=n),
    )
    assert moved.difference.value == pytest.approx(result.difference.value, abs=1e-12)
    assert moved.difference.low == pytest.approx(result.difference.low, abs=0.005)
    assert moved.difference.high == pytest.approx(result.difference.high, abs=0.005)
    assert moved.p_value == pytest.approx(result.p_value, abs=0.0 if n == 1 else 0.05)


@pytest.mark.parametrize("n", [1, 8])
def test_a_pair_with_a_missing_value_is_left_out_of_both(n):
    first, second = [0.0, 1.0, nan, 1.0, 0.0], [1.0, nan, 0.0, 1.0, 1.0]
    assert paired_difference(first, second, n=n) == paired_difference([0.0, 1.0, 0.0], [1.0, 1.0, 1.0], n=n)


@pytest.mark.parametrize("n", [1, 8])
def test_no_pairs_are_no_difference_measured(n):
    for first, second in ([], []), ([nan, 1.0], [0.0, nan]):
        result = paired_difference(first, second, n=n)
        assert isnan(result.p_value)
        assert isnan(result.difference.value)
        assert isnan(result.difference.low)


def test_what_cannot_be_paired_is_refused():
    with pytest.raises(ValueError, match="2 first values for 1 second ones"):
        paired_difference([0.0, 1.0], [1.0], n=1)
    with pytest.raises(ValueError, match=r"with n=1 every value must be 0 or 1, not 0\.5"):
        paired_difference([0.0, 0.5], [1.0, 1.0], n=1)
    with pytest.raises(ValueError, match="n=0 samples"):
        paired_difference([0.0], [1.0], n=0)
