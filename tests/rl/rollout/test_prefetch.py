"""Batches sampled ahead come in order, one step old at most, and what goes wrong meanwhile is told."""

import threading
from dataclasses import replace

import pytest
from support.rollouts import make_completion, make_group

from doubleback.rewards.types import RunError
from doubleback.rl.config import RolloutConfig
from doubleback.rl.rollout.prefetch import Rollouts, require_lag
from doubleback.rl.rollout.sampler import Rollout

AHEAD = RolloutConfig(ahead=True)


def test_a_rollout_is_made_once_and_beside_the_caller():
    made, gate = [], threading.Event()

    def sample(step):
        made.append((step, threading.current_thread() is threading.main_thread()))
        if step == 2:
            gate.wait()
        return Rollout((), num_rounds=step)

    rollouts = Rollouts(sample, AHEAD)
    assert rollouts.take(1).num_rounds == 1
    rollouts.begin(2, unless=False)  # returns, though the sampler waits for what comes next
    gate.set()
    assert rollouts.wait() >= 0
    assert [rollouts.take(step).num_rounds for step in (2, 3)] == [2, 3]
    rollouts.close()
    assert made == [(1, True), (2, False), (3, True)]


@pytest.mark.parametrize(("config", "unless"), [(RolloutConfig(), False), (AHEAD, True)])
def test_nothing_is_sampled_ahead_unasked_or_of_a_checkpoint(config, unless):
    made = []
    rollouts = Rollouts(lambda step: made.append(step) or Rollout(()), config)
    rollouts.begin(2, unless=unless)
    rollouts.wait()
    rollouts.close()
    assert made == []


def test_what_went_wrong_ahead_is_raised_where_it_is_taken():
    def sample(step):
        raise RunError(f"step {step} broke")

    rollouts = Rollouts(sample, AHEAD)
    rollouts.begin(1, unless=False)
    rollouts.wait()
    with pytest.raises(RunError, match="step 1 broke"):
        rollouts.take(1)
    rollouts.close()


def test_lag_by_hand():
    completions = [replace(make_completion([5, 2]), policy_version=version) for version in (3, 4)]
    group = make_group((1, 5), completions, [0.0, 1.0])
    assert require_lag([group], 4, 1) == 0.5
    with pytest.raises(
        RunError, match=r"completions of adapter 3 came to a learner at 5; rollout\.max_lag=1 allows less"
    ):
        require_lag([group], 5, 1)


def test_overlap_needs_a_lag():
    with pytest.raises(ValueError, match=r"rollout\.ahead=true samples one step ahead, rollout\.max_lag=0 forbids it"):
        RolloutConfig(ahead=True, max_lag=0)
