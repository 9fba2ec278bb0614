"""Phrases are counted as words, once each; what they go with is told apart."""

import math

import pytest
from support.work import require_linear

from doubleback.eval.measures.reflection import count_phrases, phrases_per_1000_words, summarise


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Wait, that is wrong. Let me double-check.", 3),
        ("WAIT. wait! wAiT", 3),
        ("She was waiting for the waiter.", 0),
        ("They await the result.", 0),
        ("That’s wrong.", 1),
        ("On second thoughts, let’s try again", 2),
        ("Let me double-check", 1),
        ("3 + 4 = 7", 0),
        ("", 0),
    ],
)
def test_phrases_are_counted_once(text, count):
    assert count_phrases(text) == count


def test_rates_by_hand():
    assert phrases_per_1000_words("wait one two three") == 250.0
    assert math.isnan(phrases_per_1000_words("..."))


def test_right_and_wrong_by_hand():
    found = summarise(["wait one two three", "wait one", "one two", "one"], [True, False, True, True])
    assert found.share_with_phrase == 0.5
    assert found.per_1000_words == (250 + 500) / 4
    assert found.per_1000_words_right == pytest.approx(250 / 3, abs=1e-9)
    assert found.per_1000_words_wrong == 500.0
    assert (found.accuracy_with_phrase, found.accuracy_without_phrase) == (0.5, 1.0)
    assert math.isnan(summarise(["one"], [True]).accuracy_with_phrase)


@pytest.mark.parametrize(("piece", "found"), [("wait ", 1), ("let me ", 0)])
def test_long_input_takes_linear_time(piece, found):
    def count(text):
        assert count_phrases(text) == found * text.count(piece)

    require_linear(count, lambda size: piece * (size // len(piece)))
