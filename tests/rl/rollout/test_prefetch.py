"""Batches sampled ahead come in order, no older than allowed, and what goes wrong meanwhile is told."""

import threading
from dataclasses import replace

import pytest
from support.rollouts import make_completion, make_group

from doubleback.rewards.types import RunError
from doubleback.rl.config import RolloutConfig
from doubleback.rl.rollout.pace import Pace
from doubleback.rl.rollout.prefetch import Rollouts, require_lag
from doubleback.rl.rollout.sampler import Rollout

AHEAD = RolloutConfig(ahead=True)


def rollouts(sample, config=AHEAD, every=100):
    return Rollouts(sample, Pace(config, 0, lambda step: step % every == 0, lambda step: False))


def test_a_rollout_is_made_once_and_beside_the_caller():
    made, gate = [], threading.Event()

    def sample(step):
        made.append((step, threading.current_thread() is threading.main_thread()))
        if step == 2:
            gate.wait()
        return Rollout((), num_rounds=step)

    ahead = rollouts(sample)
    assert ahead.take(1).num_rounds == 1
    ahead.begin(2, unless=False)  # returns, though the sampler waits for what comes next
    gate.set()
    assert ahead.wait() >= 0
    assert [ahead.take(step).num_rounds for step in (2, 3)] == [2, 3]
    ahead.close()
    assert made == [(1, True), (2, False), (3, True)]


def test_an_adapter_that_stays_waits_for_nothing_and_one_that_goes_for_all_that_is_sampled_of_the_one_before():
    """max_lag=3: adapter 2 is of no use to the engine, which goes on with step 5; adapter 3 has to wait for that."""
    made, gate = [], threading.Event()

    def sample(step):
        if step == 5:
            gate.wait()
        made.append(step)
        return Rollout((), num_rounds=step)

    ahead = rollouts(sample, RolloutConfig(ahead=True, max_lag=3))
    for step in (1, 2):
        assert ahead.take(step).num_rounds == step
        ahead.begin(step + 1, unless=False)
        ahead.wait()
    assert 5 not in made
    assert ahead.take(3).num_rounds == 3
    ahead.begin(4, unless=False)
    threading.Timer(0.05, gate.set).start()
    ahead.wait()
    assert made == [1, 2, 3, 4, 5]
    ahead.close()


@pytest.mark.parametrize(("config", "unless"), [(RolloutConfig(), False), (AHEAD, True)])
def test_nothing_is_sampled_ahead_unasked_or_of_a_checkpoint(config, unless):
    made = []
    ahead = rollouts(lambda step: made.append(step) or Rollout(()), config)
    ahead.begin(2, unless=unless)
    ahead.wait()
    ahead.close()
    assert made == []


def test_what_went_wrong_ahead_is_raised_where_it_is_taken_and_nothing_is_sampled_behind_it():
    made = []

    def sample(step):
        made.append(step)
        if step == 2:
            raise RunError(f"step {step} broke")
        return Rollout((), num_rounds=step)

    ahead = rollouts(sample, RolloutConfig(ahead=True, max_lag=3))
    ahead.take(1)
    ahead.begin(2, unless=False)
    ahead.wait()  # for steps 2 and 3
    with pytest.raises(RunError, match="step 2 broke"):
        ahead.take(2)
    ahead.close()
    assert made == [1, 2]


def test_lag_by_hand():
    completions = [replace(make_completion([5, 2]), policy_version=version) for version in (3, 4)]
    group = make_group((1, 5), completions, [0.0, 1.0])
    assert require_lag([group], 4, 1) == 0.5
    with pytest.raises(
        RunError, match=r"completions of adapter 3 came to a learner at 5; rollout\.max_lag=1 allows less"
    ):
        require_lag([group], 5, 1)


def test_overlap_needs_a_lag_and_a_lag_needs_overlap():
    with pytest.raises(ValueError, match=r"rollout\.ahead=true samples one step ahead, rollout\.max_lag=0 forbids it"):
        RolloutConfig(ahead=True, max_lag=0)
    with pytest.raises(ValueError, match=r"rollout\.max_lag=2 has no effect with rollout\.ahead=false"):
        RolloutConfig(max_lag=2)
