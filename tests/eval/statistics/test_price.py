"""The price of thinking: by hand, and undefined where there is none."""

import math

import numpy as np
import pytest

from doubleback.eval.statistics.price import points_per_100_tokens


def test_a_price_by_hand():
    """Mean gain 0.3, mean cost 50 tokens: 60 points per 100 tokens. Equal problems leave no doubt."""
    price = points_per_100_tokens([0.3, 0.3], [50.0, 50.0])
    assert (price.value, price.low, price.high) == pytest.approx((60.0, 60.0, 60.0), abs=1e-9)
    assert points_per_100_tokens([0.5, 0.1, math.nan], [20.0, 80.0, 9.0]).value == pytest.approx(60.0, abs=1e-9)


def test_the_interval_is_of_the_ratio_of_means_of_one_resample():
    """Cost proportional to gain: the price is the same in every resample, though both means vary."""
    gains = [0.1, 0.2, 0.4, 0.9]
    price = points_per_100_tokens(gains, [100 * gain for gain in gains])
    assert (price.low, price.high) == pytest.approx((100.0, 100.0), abs=1e-9)
    rng = np.random.default_rng(0)
    gains, costs = rng.uniform(0, 1, 200), rng.uniform(10, 30, 200)
    price = points_per_100_tokens(gains.tolist(), costs.tolist())
    # the delta method: a ratio's deviation is that of gain - ratio * cost, over the mean cost
    ratio = gains.mean() / costs.mean()
    deviation = 1e4 * np.std(gains - ratio * costs) / math.sqrt(200) / costs.mean()
    assert (price.high - price.low) / (2 * 1.96) == pytest.approx(deviation, rel=0.1)


@pytest.mark.parametrize(
    ("costs", "defined"),
    [([0.0, 0.0], False), ([-5.0, 1.0], False), ([math.nan, math.nan], False), ([30.0, -10.0], True), ([9.0], True)],
)
def test_what_costs_nothing_has_no_price_and_doubt_about_the_cost_no_interval(costs, defined):
    price = points_per_100_tokens([0.5] * len(costs), costs)
    assert math.isnan(price.value) is not defined
    assert math.isnan(price.low)
    assert math.isnan(price.high)
