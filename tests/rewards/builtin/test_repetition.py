"""Repetition is the share of n-grams said before: by hand, and as TRL has it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trl.rewards import get_repetition_penalty_reward

from doubleback.rewards.builtin.repetition import Repetition, repeated_share
from doubleback.rewards.types import ConfigError


@pytest.mark.parametrize(
    ("words", "ngram_size", "share"),
    [
        ("a b a b a", 2, 0.5),  # ab ba ab ba: 2 of 4 are new
        ("a a a a a", 2, 0.75),  # aa four times: 1 of 4 is new
        ("a b c a b c a", 3, 0.4),  # abc bca cab abc bca: 3 of 5 are new
        ("a b c d", 2, 0.0),
        ("a a", 3, 0.0),  # too short to hold one
        ("a a a", 3, 0.0),  # one, and nothing to repeat
        ("a b a", 1, 1 / 3),
        ("", 1, 0.0),
    ],
)
def test_share_by_hand(words, ngram_size, share):
    assert repeated_share(words.split(), ngram_size) == pytest.approx(share, abs=1e-12)


def test_penalty_scales_with_its_maximum():
    ids = [[5, 5, 5, 5, 5], [1, 2, 3], []]
    assert Repetition(2, -1.0)(completion_ids=ids, completions=["x"] * 3, target=[1] * 3) == [-0.75, 0.0, 0.0]
    assert Repetition(2, -0.1)(completion_ids=ids)[0] == pytest.approx(-0.075, abs=1e-12)
    assert str(Repetition(2, -1.0)(completion_ids=[[1, 2]])) == "[0.0]"  # never -0.0


TEXTS = (
    "the answer is 72 and the answer is 72 and the answer is 72",
    "so so so so so so so so",
    "first we add 48 and 24 then we check the sum by taking 24 away again",
    "wait wait no wait wait no wait wait yes",
    "",
)


@pytest.mark.parametrize("ngram_size", [1, 2, 3, 5])
@pytest.mark.parametrize("max_penalty", [-1.0, -0.25, 0.0])
def test_plain_words_score_as_in_trl(ngram_size, max_penalty):
    vocabulary = {word: index for index, word in enumerate(sorted({word for text in TEXTS for word in text.split()}))}
    ids = [[vocabulary[word] for word in text.split()] for text in TEXTS]
    theirs = get_repetition_penalty_reward(ngram_size, max_penalty)(ids)
    assert Repetition(ngram_size, max_penalty)(completion_ids=ids) == theirs
    # Words or their ids: the share is the same.
    assert [repeated_share(text.split(), ngram_size) for text in TEXTS] == [
        repeated_share(row, ngram_size) for row in ids
    ]


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 6))
def test_any_ids_score_as_in_trl(ids, ngram_size):
    (theirs,) = get_repetition_penalty_reward(ngram_size, -1.0)([ids])
    (ours,) = Repetition(ngram_size)(completion_ids=[ids])
    assert ours == theirs
    assert -1.0 < ours <= 0.0


@pytest.mark.parametrize("ngram_size", [0, -1, 2.5, True, "3", None])
def test_an_ngram_size_that_cannot_be_is_refused(ngram_size):
    with pytest.raises(ConfigError, match=r"^repetition: ngram_size=.* must be a whole number from 1; 3 is usual$"):
        Repetition(ngram_size=ngram_size)


@pytest.mark.parametrize("max_penalty", [0.1, 1, float("nan"), float("-inf"), float("inf"), "-1", None])
def test_a_penalty_that_rewards_is_refused(max_penalty):
    with pytest.raises(ConfigError, match=r"^repetition: max_penalty=.* must be finite and at most 0; -1\.0 is usual$"):
        Repetition(max_penalty=max_penalty)
