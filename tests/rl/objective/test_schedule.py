"""The rate of every step, worked out by hand."""

import math

import pytest

from doubleback.rl.objective.schedule import share_of_peak

ROOT = math.sqrt(0.5)


@pytest.mark.parametrize(
    ("schedule", "warmup_steps", "num_steps", "shares"),
    [
        ("constant", 3, 6, [1 / 4, 2 / 4, 3 / 4, 1, 1, 1]),
        ("constant", 0, 3, [1, 1, 1]),
        ("linear", 0, 4, [1, 3 / 4, 2 / 4, 1 / 4]),
        ("linear", 1, 5, [1 / 2, 1, 3 / 4, 2 / 4, 1 / 4]),
        # cos 0, 45, 90, 135 degrees: 1, sqrt(1/2), 0, -sqrt(1/2)
        ("cosine", 0, 4, [1, (1 + ROOT) / 2, 1 / 2, (1 - ROOT) / 2]),
        ("cosine", 2, 6, [1 / 3, 2 / 3, 1, (1 + ROOT) / 2, 1 / 2, (1 - ROOT) / 2]),
        ("linear", 3, 4, [1 / 4, 2 / 4, 3 / 4, 1]),
    ],
)
def test_shares_of_the_peak(schedule, warmup_steps, num_steps, shares):
    found = [share_of_peak(step, schedule, warmup_steps, num_steps) for step in range(1, num_steps + 1)]
    assert found == pytest.approx(shares, abs=1e-15)


@pytest.mark.parametrize("warmup_steps", [0, 1, 3, 6])
def test_a_constant_rate_is_what_it_was_to_the_last_bit(warmup_steps):
    for step in range(1, 40):
        assert share_of_peak(step, "constant", warmup_steps, 39) == min(1.0, step / (warmup_steps + 1))
