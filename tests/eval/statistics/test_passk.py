"""pass@k, pass^k and maj@k against every draw there is."""

import random
from collections import Counter
from itertools import combinations
from math import isnan
from statistics import fmean

import pytest
from support.work import num_calls

from doubleback.eval.statistics.passk import maj_at_k, pass_all_k, pass_at_k


@pytest.mark.parametrize(("estimate", "succeeds"), [(pass_at_k, any), (pass_all_k, all)])
@pytest.mark.parametrize("num_samples", [1, 2, 5, 8])
def test_pass_k_is_the_mean_over_all_draws(num_samples, estimate, succeeds):
    for num_correct in range(num_samples + 1):
        outcomes = [True] * num_correct + [False] * (num_samples - num_correct)
        for k in range(1, num_samples + 1):
            expected = fmean(succeeds(draw) for draw in combinations(outcomes, k))
            assert estimate(num_samples, num_correct, k) == pytest.approx(expected, abs=1e-12)


def test_pass_k_by_hand():
    assert pass_at_k(4, 1, 2) == 0.5  # 1 - C(3,2)/C(4,2) = 1 - 3/6
    assert pass_all_k(4, 3, 2) == 0.5  # C(3,2)/C(4,2) = 3/6
    assert pass_all_k(4, 1, 2) == 0.0
    assert pass_at_k(16, 4, 1) == pass_all_k(16, 4, 1) == 0.25


@pytest.mark.parametrize("estimate", [pass_at_k, pass_all_k])
def test_undefined_is_nan_and_impossible_is_an_error(estimate):
    assert isnan(estimate(0, 0, 1))
    for k in (0, 5):
        with pytest.raises(ValueError, match=f"k={k} cannot be estimated from 4 samples"):
            estimate(4, 2, k)
    for num_correct in (-1, 5):
        with pytest.raises(ValueError, match="4 samples cannot be"):
            estimate(4, num_correct, 1)


def majority_over_all_draws(votes, is_correct, k):
    shares = []
    for draw in combinations(zip(votes, is_correct, strict=True), k):
        polls = Counter("right" if right else ("wrong", vote) for vote, right in draw if vote is not None)
        winners = [answer for answer, count in polls.items() if count == max(polls.values())]
        shares.append(winners.count("right") / len(winners) if winners else 0.0)
    return fmean(shares)


@pytest.mark.parametrize("seed", range(60))
def test_maj_at_k_is_the_mean_over_all_draws(seed):
    """1 to 10 samples of up to five answers, two of them right, some missing: ties in nearly every case. To 1e-12."""
    rng = random.Random(seed)
    answers = rng.sample([None, "4", "4.0", 5, 6, 7], k=rng.randint(2, 6))
    votes = rng.choices(answers, k=rng.randint(1, 10))
    is_correct = [vote in ("4", "4.0") for vote in votes]
    for k in range(1, len(votes) + 1):
        assert maj_at_k(votes, is_correct, k) == pytest.approx(majority_over_all_draws(votes, is_correct, k), abs=1e-12)


def test_maj_at_k_by_hand():
    votes, is_correct = ["4", 5, None, "4.0"], [True, False, False, True]
    # Pairs: 4 5 ties, 4 None wins, 4 4.0 wins, 5 None loses, 5 4.0 ties, None 4.0 wins: (1/2 + 1 + 1 + 0 + 1/2 + 1) / 6
    assert maj_at_k(votes, is_correct, 2) == pytest.approx(2 / 3, abs=1e-12)
    # All four: two for the right answer, however spelled, against one.
    assert maj_at_k(votes, is_correct, 4) == 1.0
    # 4 ties with 5 and with 6.
    assert maj_at_k(["4", 5, 6], [True, False, False], 3) == pytest.approx(1 / 3, abs=1e-12)


def test_a_missing_answer_does_not_win():
    assert maj_at_k([None, None, None, "4"], [False, False, False, True], 4) == 1.0
    assert maj_at_k([None, None, "5"], [False, False, False], 3) == 0.0
    assert maj_at_k([None, None], [False, False], 2) == 0.0
    assert maj_at_k([None, None, "5"], [True, True, False], 3) == 0.0


def test_a_wrong_sample_that_votes_like_a_right_one_is_against_it():
    # The judge took one 4 and not the other (say, for its form): a tie of one against one.
    assert maj_at_k(["4", "4"], [True, False], 2) == 0.5


def test_maj_at_1_is_pass_at_1():
    votes = [*["4"] * 7, *[5] * 9, *range(6, 20), *[None] * 10]
    is_correct = [vote == "4" for vote in votes]
    assert maj_at_k(votes, is_correct, 1) == pytest.approx(pass_at_k(40, 7, 1), abs=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 7, 16, 33, 63, 64])
def test_the_answers_share_the_wins_among_them(k):
    """One answer wins any draw of 64 samples without gaps: calling each of 12 answers right in turn adds up to 1."""
    sizes = [10, 10, 9, 7, 7, 6, 5, 4, 3, 1, 1, 1]
    votes = [answer for answer, size in enumerate(sizes) for _ in range(size)]
    wins = [maj_at_k(votes, [vote == answer for vote in votes], k) for answer in range(12)]
    assert sum(wins) == pytest.approx(1.0, abs=1e-12)


def test_the_order_of_samples_does_not_matter():
    votes, is_correct = [1, 1, 2, 3, None, 2, 1, 4], [True, True, False, False, False, False, True, False]
    shuffled = random.Random(0).sample(list(zip(votes, is_correct, strict=True)), k=8)
    assert maj_at_k(*zip(*shuffled, strict=True), 5) == maj_at_k(votes, is_correct, 5)


def test_maj_at_k_is_undefined_without_samples_and_refuses_what_it_cannot_draw():
    assert isnan(maj_at_k([], [], 1))
    for k in (0, 3):
        with pytest.raises(ValueError, match=f"k={k} cannot be estimated from 2 samples"):
            maj_at_k(["4", "5"], [True, False], k)
    with pytest.raises(ValueError, match="2 votes for 1 verdicts"):
        maj_at_k(["4", "5"], [True], 1)


@pytest.mark.parametrize("k", [16, 32, 64])
@pytest.mark.parametrize("num_correct", [1, 8, 24])
def test_maj_at_k_of_64_samples_and_40_answers_is_little_work(num_correct, k):
    """The largest takes 12,306 calls, about 2 ms; an enumeration of the draws takes 10 ** 14 and more."""
    votes = ["right"] * num_correct + [sample % 39 for sample in range(64 - num_correct)]
    is_correct = [vote == "right" for vote in votes]
    assert num_calls(lambda: maj_at_k(votes, is_correct, k)) < 20_000
