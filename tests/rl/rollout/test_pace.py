"""Which adapter samples which step: by hand, and what holds of every schedule."""

import pytest

from doubleback.rl.config import MOST_LAG, RolloutConfig
from doubleback.rl.rollout.pace import Pace


def pace(max_lag, every=100, start=0, measured_at=(), ahead=True):
    config = RolloutConfig(ahead=ahead, max_lag=max_lag)
    return Pace(config, start, lambda step: step % every == 0, lambda step: step in measured_at)


@pytest.mark.parametrize(
    ("max_lag", "adapters"),
    [
        (1, [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (2, [0, 0, 0, 2, 2, 4, 4, 6, 6, 8, 8]),
        (3, [0, 0, 0, 1, 1, 3, 3, 5, 5, 7, 7]),
        (8, [0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2]),
    ],
)
def test_adapters_by_hand(max_lag, adapters):
    assert [pace(max_lag).adapter_of(step) for step in range(1, 12)] == adapters


def test_a_checkpoint_knows_nothing_of_what_comes_and_a_run_that_goes_on_there_has_the_same_schedule():
    whole = pace(3, every=4)
    assert [whole.adapter_of(step) for step in range(1, 10)] == [0, 0, 0, 1, 4, 4, 4, 5, 8]
    resumed = pace(3, every=4, start=4)
    assert [resumed.adapter_of(step) for step in range(5, 10)] == [4, 4, 4, 5, 8]
    # A signal had step 6 saved, which no schedule knew: what follows is that of a first step.
    assert [pace(3, every=100, start=6).adapter_of(step) for step in (7, 8, 9, 10)] == [6, 6, 6, 7]


def test_an_adapter_of_which_nothing_is_sampled_travels_where_it_is_measured_or_saved_alone():
    found = [step for step in range(12) if pace(3, every=11, measured_at=(4,)).delivers(step)]
    assert found == [0, 1, 3, 4, 5, 7, 11]  # step 9 would be sampled of for steps behind the checkpoint of 11
    assert all(pace(1, ahead=False).delivers(step) for step in range(12))


@pytest.mark.parametrize("max_lag", range(1, MOST_LAG + 1))
@pytest.mark.parametrize("every", [1, 2, 5, 17, 1000])
def test_what_holds_of_every_schedule(max_lag, every):
    """The engine alone, step by step: what it is told to sample comes of the adapter that it serves, once, in order."""
    schedule, served, sampled, lags = pace(max_lag, every), 0, [], {}
    for step in range(1, 60):
        if step not in lags:
            assert schedule.adapter_of(step) == served == step - 1  # nothing was ahead: it is sampled now
            sampled.append(step)
            lags[step] = 0
        for ahead in schedule.ready(step) if step % every else []:
            if ahead not in lags:
                assert schedule.adapter_of(ahead) == served
                sampled.append(ahead)
                lags[ahead] = ahead - 1 - served
        if schedule.delivers(step):
            served = step
    assert sampled == sorted(sampled)
    assert set(range(1, 60)) <= set(sampled)
    assert max(lags.values()) <= max_lag
    assert max(lags.values()) == max_lag or every < 1000
