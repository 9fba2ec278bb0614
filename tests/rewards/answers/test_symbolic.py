"""math-verify confirms what it should, and what it rounds away is looked at again."""

import pytest

from doubleback.rewards.answers.symbolic import foreign_words, symbolic_equal, variables


@pytest.mark.parametrize(
    ("candidate", "gold"),
    [
        (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt{2}}{2}"),
        (r"\sqrt{4}", "2"),
        ("2^{10}", "1024"),
        ("(x+1)^2", "x^2+2x+1"),
        ("n+n", "2n"),
        ("0.5x", r"\frac{x}{2}"),
        (r"(x, \frac{\sqrt{8}}{2})", r"(x, \sqrt{2})"),
        ("f(x) = x + x", "f(x) = 2x"),
        ("1.414214", r"\sqrt{2}"),
        (r"\{\sqrt{2}, 1\}", r"\{1, \sqrt{2}\}"),
        (r"(0, 2\sqrt{2})", r"(0, \sqrt{8})"),
        (r"x \geq 2", r"2 \leq x"),
        ("2^{-99}", r"2^{-100} \cdot 2"),
        ("0", r"\sin(0)"),
    ],
)
def test_equal(candidate, gold):
    comparison = symbolic_equal(candidate, gold)
    assert (comparison.is_equal, comparison.stage) == (True, "symbolic")


@pytest.mark.parametrize(
    ("candidate", "gold"),
    [
        (r"\sqrt{3}", r"\sqrt{2}"),
        ("2n", "3n"),
        ("x > 2", "x < 2"),
        ("(0,1]", "(0,1)"),
        # Differences that math-verify rounds to nothing.
        ("2^{-99}", "2^{-98}"),
        (r"10^{-20}\sqrt{2}", r"10^{-21}\sqrt{2}"),
        ("0.0000001", "0.0000002"),
        (r"\{10^{-9}, 1\}", r"\{10^{-8}, 1\}"),
        ("x + 10^{-20}", "x + 10^{-19}"),
        ("(2^{-99}, x)", "(2^{-98}, x)"),
        ("x = 2^{-99}", "x = 2^{-98}"),
        ("x < 2^{-99}", "x < 2^{-98}"),
    ],
)
def test_not_equal(candidate, gold):
    assert symbolic_equal(candidate, gold).is_equal is False


def test_a_gold_that_cannot_be_parsed_is_an_error():
    with pytest.raises(ValueError, match="cannot parse the gold"):
        symbolic_equal("x", r"t(0,4]")


def test_what_is_a_word_and_what_a_product():
    assert foreign_words(r"\sqrt{2} is correct") == ["is", "correct"]
    assert foreign_words(r"\sin x + sqrt(y)") == []
    assert foreign_words("abc", "a b c") == []
    assert foreign_words("5cm") == ["cm"]
    assert variables(r"f(x) = 2ax + \alpha e") == {"a", "x"}
