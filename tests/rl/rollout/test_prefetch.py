"""Batches sampled ahead come in order, one step old at most; what goes wrong in the other process has a name."""

import os
import signal
import threading
from dataclasses import replace

import psutil
import pytest
from support.rollouts import make_completion, make_group

from doubleback.rewards.types import ConfigError, Problem, RunError
from doubleback.rl.config import RolloutConfig, SamplingConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.engines.process import second_device
from doubleback.rl.policy.base import base_tensors, load_base, load_tokenizer
from doubleback.rl.rollout.prefetch import Rollouts, require_lag
from doubleback.rl.rollout.sampler import Rollout
from doubleback.rl.types import ModelSource

AHEAD = RolloutConfig(ahead=True)


def test_a_rollout_is_made_once_and_beside_the_caller():
    made, gate = [], threading.Event()

    def sample(step):
        made.append((step, threading.current_thread() is threading.main_thread()))
        if step == 2:
            gate.wait(60)
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


@pytest.mark.parametrize(
    ("count", "visible", "expected"), [(0, None, None), (1, "3", None), (2, None, "1"), (3, "4, 2,0", "2")]
)
def test_with_several_devices_the_engine_has_the_second(count, visible, expected):
    assert second_device(count, visible).get("CUDA_VISIBLE_DEVICES") == expected


def test_the_engines_process_alone_is_moved(tiny_model_folder, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    before = dict(os.environ)
    config = ModelSource(str(tiny_model_folder), "float32", 256)
    tensors, tokenizer = base_tensors(load_base(config)), load_tokenizer(config.path)
    engine = create_engine(EngineConfig(name="transformers").setup(config), tensors, tokenizer, is_apart=True)
    assert psutil.Process(engine._process.pid).environ()["CUDA_VISIBLE_DEVICES"] == "1"
    assert dict(os.environ) == before
    (scores,) = engine.score([((1, 5), (6, 7))])
    assert len(scores) == 2
    engine.close()


def test_overlap_needs_a_lag():
    with pytest.raises(ValueError, match=r"rollout\.ahead=true samples one step ahead, rollout\.max_lag=0 forbids it"):
        RolloutConfig(ahead=True, max_lag=0)


@pytest.fixture
def engine(tiny_model_folder):
    config = ModelSource(str(tiny_model_folder), "float32", 448)
    tensors = base_tensors(load_base(config))
    made = create_engine(
        EngineConfig(name="transformers").setup(config), tensors, load_tokenizer(config.path), is_apart=True
    )
    yield made
    made.close()


@pytest.mark.slow
def test_errors_keep_their_name_and_the_engine_goes_on(engine):
    problem = Problem("p", "3 5 7 -> 22")
    with pytest.raises(ConfigError, match=r"problem p: prompt of 6 tokens \+ sampling\.max_tokens=443 exceeds"):
        engine.sample([problem], SamplingConfig(group_size=2, max_tokens=443), [1])
    assert len(engine.sample([problem], SamplingConfig(group_size=2, max_tokens=4), [1])) == 1


@pytest.mark.slow
def test_an_engine_that_says_nothing_is_named(engine, monkeypatch):
    monkeypatch.setattr("doubleback.rl.engines.process.STALL_SECONDS", 0.0)
    (process,) = (child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline()))
    process.suspend()
    try:
        with pytest.raises(RunError, match="the engine's process has said nothing for 0 s"):
            engine.sample([Problem("p", "3 5 7 -> 22")], SamplingConfig(group_size=2, max_tokens=4), [1])
    finally:
        process.kill()


@pytest.mark.slow
def test_an_engine_that_dies_is_named(engine):
    os.kill(engine._process.pid, signal.SIGKILL)
    with pytest.raises(RunError, match=r"the engine's process has ended \(exit code -9\)"):
        engine.sample([Problem("p", "3 5 7 -> 22")], SamplingConfig(group_size=2, max_tokens=4), [1])
