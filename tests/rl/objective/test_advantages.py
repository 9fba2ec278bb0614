"""Group-relative advantages, by hand and by their invariants."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.oracles import reference

from doubleback.rl.objective.advantages import (
    SPREAD_FLOOR,
    batch_scaled,
    centre,
    has_spread,
    leave_one_out,
    maxrl,
    standardise,
    step_advantages,
)
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.tables import ADVANTAGES

REWARDS = st.lists(st.floats(-10, 10).map(lambda value: round(value, 3)), min_size=2, max_size=16)
OF_ONE_GROUP = [centre, standardise, leave_one_out, maxrl]
EVERY = pytest.mark.parametrize("advantage", OF_ONE_GROUP, ids=lambda function: function.__name__)
RELATIVE = [name for name in ADVANTAGES if name not in ("one", "zero")]
"""Those that compare the completions of a group."""
EVERY_NAME = pytest.mark.parametrize("name", RELATIVE)
GROUPS = st.lists(
    st.lists(st.integers(0, 10).map(lambda value: value / 8), min_size=2, max_size=6), min_size=1, max_size=6
)


def advantages(groups, name):
    """Of a step, by the row `name` of the table."""
    return step_advantages(groups, AlgorithmConfig(advantage=name).functions.advantage)


def test_centre_subtracts_the_group_mean():
    assert centre([1.0, 0.0, 0.0, 1.0, 0.5]) == [0.5, -0.5, -0.5, 0.5, 0.0]


def test_standardise_divides_by_the_unbiased_deviation_plus_epsilon():
    # mean 0.25, squares 0.5625 + 3 * 0.0625 = 0.75, over n - 1 = 3: deviation 0.5
    expected = [0.75 / 0.5001, -0.25 / 0.5001, -0.25 / 0.5001, -0.25 / 0.5001]
    assert standardise([1.0, 0.0, 0.0, 0.0]) == pytest.approx(expected, rel=1e-12)


def test_standardise_of_a_small_spread_is_damped_by_epsilon():
    # deviation sqrt(2) * 5e-5 is below epsilon
    assert standardise([0.0, 1e-4])[1] == pytest.approx(5e-5 / (math.sqrt(2) * 5e-5 + 1e-4), rel=1e-9)


@EVERY
@pytest.mark.parametrize("reward", [0.0, 0.1, 1 / 3, 1.1, -7.7])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 16])
def test_a_group_without_spread_gives_exact_zeros(advantage, reward, size):
    assert advantage([reward] * size) == [0.0] * size


@EVERY
def test_rounding_is_not_a_spread(advantage):
    rewards = [0.1 + 0.2, 0.3, 0.3, 0.3]
    assert rewards[0] != rewards[1]
    assert advantage(rewards) == [0.0] * 4
    assert any(advantage([SPREAD_FLOOR * 2, 0.0]))


def test_leave_one_out_subtracts_the_mean_of_the_others():
    # others' means: 1/3, 2/3, 2/3, 1/3
    expected = [2 / 3, -2 / 3, -2 / 3, 2 / 3]
    assert leave_one_out([1.0, 0.0, 0.0, 1.0]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        ([1.0, 0.0, 0.0, 0.0], [3.0, -1.0, -1.0, -1.0]),  # one success of four weighs 1 / (1/4) - 1
        ([1.0, 1.0, 1.0, 0.0], [1 / 3, 1 / 3, 1 / 3, -1.0]),
        ([1.0, 1.0], [0.0, 0.0]),
        ([0.0, 0.0], [0.0, 0.0]),
        ([-1.0, 0.0], [0.0, 0.0]),  # a mean that is not positive says nothing about success
    ],
)
def test_maxrl_divides_by_the_mean(rewards, expected):
    assert maxrl(rewards) == pytest.approx(expected, rel=1e-12)


def test_one_is_one_whatever_the_reward():
    assert advantages([[0.0, None, 2.5], [0.3, 0.3]], "one") == [(1.0, None, 1.0), (1.0, 1.0)]


def test_zero_is_zero_whatever_the_reward():
    assert advantages([[0.0, None, 2.5], [0.3, 0.3]], "zero") == [(0.0, None, 0.0), (0.0, 0.0)]


STEP = [[1.0, 0.0], [2.0, 2.0], [0.0, 3.0]]


def test_batch_scaled_divides_by_the_deviation_of_the_centred_rewards():
    # centred 0.5 -0.5 0 0 -1.5 1.5: squares 0.5 + 4.5 = 5 over 5: deviation 1
    expected = [[0.5, -0.5], [0.0, 0.0], [-1.5, 1.5]]
    found = batch_scaled(STEP, by_rewards=False, epsilon=0.0)
    assert [pytest.approx(group, rel=1e-12) for group in expected] == found
    assert batch_scaled(STEP, by_rewards=False)[2][1] == pytest.approx(1.5 / 1.0001, rel=1e-12)


def test_batch_scaled_by_rewards_divides_by_their_own_deviation():
    # 1 0 2 2 0 3: mean 4/3, squares 18 - 6 * 16/9 = 22/3 over 5
    deviation = math.sqrt(22 / 15)
    found = batch_scaled(STEP, by_rewards=True)
    assert found[0] == pytest.approx([0.5 / (deviation + 1e-4), -0.5 / (deviation + 1e-4)], rel=1e-12)
    assert found[1] == [0.0, 0.0]


@EVERY_NAME
def test_unjudged_completions_get_none_and_enter_no_statistic(name):
    found = advantages([[1.0, None, 0.0, None, 0.5], [None, None], [0.25, 0.75]], name)
    first, second = advantages([[1.0, 0.0, 0.5], [0.25, 0.75]], name)
    assert found == [(first[0], None, first[1], None, first[2]), (None, None), second]


@EVERY_NAME
def test_groups_with_one_or_no_usable_reward_carry_no_signal(name):
    assert advantages([[None, 0.7, None], [None, None]], name) == [(None, 0.0, None), (None, None)]
    assert advantages([[0.7]], name) == [(0.0,)]
    assert advantages([], name) == []


@EVERY_NAME
def test_groups_without_spread_are_exact_zeros_in_any_step(name):
    found = advantages([[1.0, 0.0, 0.3], [1 / 3] * 3, [0.1 + 0.2, 0.3]], name)
    assert found[1:] == [(0.0, 0.0, 0.0), (0.0, 0.0)]
    assert any(found[0])


@EVERY_NAME
@given(groups=GROUPS)
def test_step_advantages_agree_with_the_reference(name, groups):
    expected = reference.advantages(groups, name)
    assert [pytest.approx(group, rel=1e-9, abs=1e-9) for group in expected] == [
        list(group) for group in advantages(groups, name)
    ]


@EVERY_NAME
@given(groups=GROUPS)
def test_advantages_of_every_group_sum_to_zero(name, groups):
    for values in advantages(groups, name):
        assert math.fsum(values) == pytest.approx(0, abs=1e-10)


@EVERY_NAME
@given(groups=GROUPS, data=st.data())
def test_advantages_follow_a_permutation_of_groups_and_of_completions(name, groups, data):
    order = data.draw(st.permutations(range(len(groups))))
    values = advantages(groups, name)
    permuted = advantages([groups[index][::-1] for index in order], name)
    assert [pytest.approx(values[index][::-1], rel=1e-9, abs=1e-12) for index in order] == permuted


@pytest.mark.parametrize("name", [name for name in RELATIVE if name != "maxrl"])
@given(groups=GROUPS, shift=st.integers(-100, 100))
def test_a_constant_bonus_changes_nothing(name, groups, shift):
    shifted = advantages([[reward + shift for reward in group] for group in groups], name)
    assert [pytest.approx(group, rel=1e-8, abs=1e-8) for group in advantages(groups, name)] == shifted


def test_leave_one_out_is_a_multiple_of_centre_and_maxrl_of_the_pass_rate():
    rewards = [1.0, 1.0, 0.0, 0.0, 0.0]
    assert leave_one_out(rewards) == pytest.approx([value * 5 / 4 for value in centre(rewards)], rel=1e-12)
    assert maxrl(rewards) == pytest.approx([value / 0.4 for value in centre(rewards)], rel=1e-12)


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [([], False), ([None], False), ([1.0, None], False), ([0.3, 0.1 + 0.2], False), ([0.0, None, 1.0], True)],
)
def test_spread(rewards, expected):
    assert has_spread(rewards) == expected
