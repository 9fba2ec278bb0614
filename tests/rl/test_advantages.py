"""Group-relative advantages, by hand and by their invariants."""

import math

import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

from doubleback.rl.advantages import SPREAD_FLOOR, centre, group_advantages, standardise

REWARDS = st.lists(st.floats(-10, 10).map(lambda value: round(value, 3)), min_size=2, max_size=16)
EITHER = pytest.mark.parametrize("advantage", [centre, standardise])


def test_centre_subtracts_the_group_mean():
    assert centre([1.0, 0.0, 0.0, 1.0, 0.5]) == [0.5, -0.5, -0.5, 0.5, 0.0]


def test_standardise_divides_by_the_unbiased_deviation_plus_epsilon():
    # mean 0.25, squares 0.5625 + 3 * 0.0625 = 0.75, over n - 1 = 3: deviation 0.5
    expected = [0.75 / 0.5001, -0.25 / 0.5001, -0.25 / 0.5001, -0.25 / 0.5001]
    assert standardise([1.0, 0.0, 0.0, 0.0]) == pytest.approx(expected, rel=1e-12)


def test_standardise_of_a_small_spread_is_damped_by_epsilon():
    # deviation sqrt(2) * 5e-5 is below epsilon
    assert standardise([0.0, 1e-4])[1] == pytest.approx(5e-5 / (math.sqrt(2) * 5e-5 + 1e-4), rel=1e-9)


@EITHER
@pytest.mark.parametrize("reward", [0.0, 0.1, 1 / 3, 1.1, -7.7])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 16])
def test_a_group_without_spread_gives_exact_zeros(advantage, reward, size):
    assert advantage([reward] * size) == [0.0] * size


@EITHER
def test_rounding_is_not_a_spread(advantage):
    rewards = [0.1 + 0.2, 0.3, 0.3, 0.3]
    assert rewards[0] != rewards[1]
    assert advantage(rewards) == [0.0] * 4
    assert any(advantage([SPREAD_FLOOR * 2, 0.0]))


@EITHER
def test_unjudged_completions_get_none_and_enter_no_statistic(advantage):
    values = group_advantages([1.0, None, 0.0, None, 0.5], advantage)
    usable = advantage([1.0, 0.0, 0.5])
    assert values == (usable[0], None, usable[1], None, usable[2])


@EITHER
def test_groups_with_one_or_no_usable_reward_carry_no_signal(advantage):
    assert group_advantages([None, 0.7, None], advantage) == (None, 0.0, None)
    assert group_advantages([None, None], advantage) == (None, None)


@EITHER
@given(rewards=REWARDS)
def test_advantages_sum_to_zero(advantage, rewards):
    values = advantage(rewards)
    assert math.fsum(values) == pytest.approx(0, abs=1e-12 * max(map(abs, [*values, 1.0])) * len(values))


@EITHER
@given(rewards=REWARDS, data=st.data())
def test_advantages_follow_a_permutation(advantage, rewards, data):
    order = data.draw(st.permutations(range(len(rewards))))
    values = advantage(rewards)
    permuted = advantage([rewards[i] for i in order])
    assert permuted == pytest.approx([values[i] for i in order], rel=1e-12, abs=1e-12)


@EITHER
@given(rewards=REWARDS, shift=st.integers(-100, 100))
def test_a_constant_bonus_changes_nothing(advantage, rewards, shift):
    shifted = advantage([reward + shift for reward in rewards])
    assert shifted == pytest.approx(advantage(rewards), rel=1e-8, abs=1e-8)


@given(rewards=REWARDS)
def test_both_agree_with_the_reference(rewards):
    assert centre(rewards) == pytest.approx(reference.advantages(rewards, standardised=False), rel=1e-12, abs=1e-12)
    assert standardise(rewards) == pytest.approx(reference.advantages(rewards, standardised=True), rel=1e-9, abs=1e-9)
