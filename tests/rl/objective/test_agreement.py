"""The rule by which trainer and engine agree: what 98 % of tokens keep, and nothing that is not a number."""

import math
import random

import pytest

from doubleback.rl.objective.agreement import Gap, gap_between, largest, quantile_gap


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        (range(1, 101), 98.0),  # the 98th of 100
        (range(1, 51), 49.0),  # the 49th of 50
        ([5.0, 1.0], 5.0),  # round(1.96) - 1 = the last of two
        ([0.25], 0.25),
        ([0.0] * 49 + [9.0], 0.0),  # one undecided token of 50 is let pass
        ([0.0] * 48 + [9.0] * 2, 9.0),  # two are not
    ],
)
def test_what_98_percent_of_the_tokens_keep(gaps, expected):
    shuffled = list(map(float, gaps))
    random.Random(0).shuffle(shuffled)
    assert quantile_gap(shuffled) == expected


@pytest.mark.parametrize("place", [0, 57, 99])
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_one_token_that_is_not_finite_is_nan_wherever_it_stands(odd, place):
    gaps = [1e-9] * 100
    gaps[place] = odd
    assert math.isnan(quantile_gap(gaps))
    gap = gap_between([[-1.0] * 100], [[-1.0 + value for value in gaps]])
    assert gap.num_tokens == 100
    assert all(math.isnan(value) for value in (gap.mean_abs, gap.max_abs, gap.quantile_abs))
    assert gap.in_words == "cannot be compared: not every log-probability is finite"


def test_no_tokens_are_nan_under_no_bound():
    gap = gap_between([(), ()], [(), ()])
    assert gap.num_tokens == 0
    assert math.isnan(gap.quantile_abs)
    assert not gap.quantile_abs <= math.inf
    assert gap.in_words == "are none"


def test_gap_by_hand():
    """The example of the docstring."""
    gap = gap_between(((-1.0, -2.0), (-3.0,)), ((-1.5, -2.0), (-3.25,)))
    assert gap == Gap(3, 0.25, 0.5, 0.5)
    assert gap.in_words == "differ by up to 0.5 nats"


@pytest.mark.parametrize("right", [[(-1.0, -2.0)], [(-1.0,), (-3.0,)]])
def test_other_shapes_are_an_error(right):
    with pytest.raises(ValueError, match="zip"):
        gap_between([(-1.0, -2.0), (-3.0,)], right)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_largest_of_values_with_one_that_is_no_number_is_none(place):
    values = [1.0, 3.0]
    values.insert(place, math.nan)
    assert math.isnan(largest(values))
    assert largest([1.0, 3.0, 2.0]) == 3.0
    assert math.isnan(largest([]))
