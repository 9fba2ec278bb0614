"""One long sample against short ones at equal tokens: numbers worked out by hand, and what a draw would give."""

from math import isnan, nan

import numpy as np
import pytest

from doubleback.eval.statistics.equal_tokens import Tried, at_equal_tokens, pass_at_budget
from doubleback.eval.statistics.intervals import RESAMPLES, resampled_means
from doubleback.eval.statistics.paired import two_sided
from doubleback.eval.statistics.passk import pass_at_k


@pytest.mark.parametrize(
    ("k", "expected"),
    [(0, 0), (0.25, 0.1), (1, 0.4), (1.5, 0.5), (1.75, 0.55), (2, 0.6), (2.5, nan), (3, nan), (nan, nan)],
)
def test_a_part_of_a_sample_is_a_chance_of_one(k, expected):
    assert pass_at_budget({1: 0.4, 2: 0.6}, k) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_it_is_what_drawing_one_sample_more_or_not_comes_to():
    """k = 1.6 of four samples, one of them right: two are drawn with probability 0.6, else one."""
    rng, right = np.random.default_rng(0), np.array([True, False, False, False])
    hits = [right[rng.permutation(4)[: 1 + (rng.random() < 0.6)]].any() for _ in range(20_000)]
    curve = {k: pass_at_k(4, 1, k) for k in (1, 2)}
    assert pass_at_budget(curve, 1.6) == pytest.approx(0.4, abs=1e-12)  # 0.4 * 1/4 + 0.6 * 2/4
    assert np.mean(hits) == pytest.approx(0.4, abs=0.014)  # 4 standard errors


def test_two_problems_by_hand():
    """The searcher spends 60 and 90 tokens, the guesser 40 and 20: k = 75 / 30 = 2.5 for both problems."""
    searcher = [Tried(4, 4, 60.0), Tried(4, 2, 90.0)]
    guesser = [Tried(4, 1, 40.0), Tried(4, 0, 20.0)]
    found = at_equal_tokens(searcher, guesser)
    assert (found.tokens, found.k, found.searcher) == (75.0, 2.5, 0.75)
    # The first problem: pass@2 = 2/4, pass@3 = 3/4, half way 0.625. The second: 0.
    assert found.guesser == pytest.approx(0.3125, abs=1e-12)
    assert found.difference.value == pytest.approx(0.4375, abs=1e-12)
    # Resamples are one problem twice or both: (1 at k = 1.5), (.5 at k = 4.5: no such k), so that no interval is told.
    assert isnan(found.difference.low)
    assert isnan(found.difference.high)
    assert isnan(found.p_value)


def test_the_interval_is_of_resamples_in_which_k_is_found_anew():
    rng = np.random.default_rng(1)
    searcher = [Tried(8, int(rng.integers(0, 9)), float(rng.integers(60, 90))) for _ in range(30)]
    guesser = [Tried(8, int(rng.integers(0, 5)), float(rng.integers(30, 50))) for _ in range(30)]
    found = at_equal_tokens(searcher, guesser, seed=3)
    picks = np.random.default_rng(3).integers(0, 30, size=(RESAMPLES, 30))
    differences = []
    for pick in picks:
        mine, theirs = [searcher[i] for i in pick], [guesser[i] for i in pick]
        k = np.mean([it.tokens for it in mine]) / np.mean([it.tokens for it in theirs])
        curve = {j: np.mean([pass_at_k(8, it.num_correct, j) for it in theirs]) for j in range(1, 9)}
        differences.append(np.mean([it.num_correct / 8 for it in mine]) - pass_at_budget(curve, float(k)))
    assert [found.difference.low, found.difference.high] == pytest.approx(
        np.quantile(differences, [0.025, 0.975]), abs=1e-12
    )
    assert found.p_value == two_sided(np.array(differences), largest=1.0)


def test_equal_policies_do_not_differ():
    same = [Tried(4, right, tokens) for right, tokens in ((0, 30.0), (2, 50.0), (4, 44.0))]
    found = at_equal_tokens(same, same)
    assert (found.k, found.difference.value, found.difference.low, found.p_value) == (1.0, 0.0, 0.0, 1.0)


def test_what_cannot_be_told_is_nan_and_no_number():
    one = [Tried(4, 2, 30.0)]
    assert isnan(at_equal_tokens(one, [Tried(4, 2, 7.0)]).guesser)  # k = 30 / 7 is more than 4 samples
    assert isnan(at_equal_tokens(one, [Tried(4, 2, 0.0)]).guesser)
    for other in (Tried(4, 2, nan), Tried(0, 0, 30.0)):
        assert isnan(at_equal_tokens(one, [other]).searcher)
        assert isnan(at_equal_tokens([other], one).k)
    alone = at_equal_tokens(one, one)
    assert (alone.difference.value, isnan(alone.difference.low), isnan(alone.p_value)) == (0.0, True, True)
    with pytest.raises(ValueError, match="shorter"):
        at_equal_tokens(one, [])


def test_a_p_value_of_resamples_that_are_nan_is_nan():
    assert isnan(two_sided(np.array([0.1, nan]), largest=1.0))
    assert two_sided(resampled_means([0.5], 0), largest=1.0) == 2 / (RESAMPLES + 1)
