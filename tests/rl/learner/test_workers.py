"""Gradient workers: their answers are the trainer's own to the bit, whatever becomes of them on the way.

The remotes here are threads, so that a test says what goes wrong; the worker in them is the real one.
"""

import itertools
import math
import pickle
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from threading import Lock

import numpy as np
import pytest
from support.commands import untimed
from support.rollouts import random_groups

from doubleback.rewards.types import ConfigError, RunError
from doubleback.rl.config import LoraSettings, OptimConfig
from doubleback.rl.learner.batching import assign, make_batch
from doubleback.rl.learner.gradient import workers
from doubleback.rl.learner.gradient.shards import Here
from doubleback.rl.learner.gradient.worker import GradientWorker, WorkerSetup
from doubleback.rl.learner.gradient.workers import Limits, Workers
from doubleback.rl.learner.learner import Learner
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy.base import base_tensors, load_base
from doubleback.rl.policy.lora import hash_tensors
from doubleback.rl.remote.remote import DeadRemoteError
from doubleback.rl.stopping import STOP
from doubleback.rl.types import ModelSource, Sampling

REWARDS = [[1.0, 0.0, 0.1], [0.5, 0.0], [1.1, None, 0.0], [0.0, 1.0], [1.0, 0.0]]
SAMPLING = Sampling(group_size=4, temperature=0.8, max_tokens=12)
ALGORITHM = AlgorithmConfig(updates_per_batch=2)
OPTIM = OptimConfig(lr=1e-2, warmup_steps=0, microbatch_tokens=60)
LORA = LoraSettings(rank=4, expert_rank=4, alpha=8.0)
NUM_SHARDS, NUM_STEPS = 3, 2


ONE_AT_A_TIME = Lock()
"""A process computes one microbatch at a time: attention is the process's."""


class Threaded:
    """A remote in a thread, to which all travels as bytes. `fault(number of the call)` names what goes wrong."""

    node = "node-7"

    def __init__(self, name, hosted, fault):
        self.name, self._hosted, self._fault = name, hosted, fault
        self._thread, self._looks, self._numbers = ThreadPoolExecutor(1), itertools.count(), itertools.count(1)
        self.hangs = self.was_killed = False
        self.started = Future()
        self.started.set_result(None)

    def call(self, method, *arguments):
        kind = self._fault(next(self._numbers)) if method == "gradient" else None
        if kind == "hangs":
            self.hangs = True
            return Future()
        if kind == "dies":
            ended = Future()
            ended.set_exception(DeadRemoteError("its process 7 has ended (SIGKILL)"))
            return ended
        sent = pickle.dumps(arguments)
        return self._thread.submit(self._answer, kind, method, sent)

    def _answer(self, kind, method, sent):
        arguments = pickle.loads(sent)
        if kind == "hears another adapter":
            arguments = arguments[0], np.append(arguments[1][1:], 0).astype(np.float32), arguments[2]
        if kind == "cannot":
            raise RuntimeError("out of memory\nand more")
        with ONE_AT_A_TIME:
            answer = getattr(self._hosted, method)(*arguments)
        return pickle.loads(pickle.dumps(spoil(answer, kind)))

    def processor_seconds(self):
        return 0.0 if self.hangs else float(next(self._looks))

    def kill(self):
        self.was_killed = True

    def close(self):
        self._thread.shutdown()


def spoil(answer, kind):
    if kind == "answers of another adapter":
        return replace(answer, adapter_hash="0" * 64)
    if kind == "NaN":
        answer.vector[3] = math.nan
    if kind == "too short":
        return replace(answer, vector=answer.vector[1:])
    if kind == "of fewer parameters":
        return replace(answer, is_reached=answer.is_reached[1:])
    return answer


FAULTS = {
    "dies": "its process 7 has ended (SIGKILL)",
    "hangs": "it has neither answered nor computed for 0 s (scale.stall_seconds)",
    "cannot": "out of memory",
    "hears another adapter": "the adapter that came has the hash",
    "answers of another adapter": "it answers with the gradient of another adapter, 000000000000",
    "NaN": "its gradient is not finite",
    "too short": "it has the shape",
    "of fewer parameters": "it is by 23 parameters, and 24 are trained",
}


@pytest.fixture(scope="module")
def setup(tiny_model_folder):
    return WorkerSetup(ModelSource(str(tiny_model_folder), "float32", 256), LORA, ALGORITHM, OPTIM)


@pytest.fixture(scope="module")
def base_hash(setup):
    return hash_tensors(base_tensors(load_base(setup.model)))


class Team:
    """Workers in threads; `fault(worker, incarnation, call)` names what goes wrong."""

    def __init__(self, setup, base_hash, num_workers, fault=lambda *place: None):
        self.said, self.remotes = [], []
        self._setup, self._fault = setup, fault
        self.workers = Workers(
            self._start, num_workers, NUM_SHARDS, Limits(base_hash, 0, "scale.stall_seconds"), self.said.append
        )

    def _start(self, index, name):
        number = sum(other.name == name for other in self.remotes)
        self.remotes.append(Threaded(name, GradientWorker(self._setup), lambda call: self._fault(index, number, call)))
        return self.remotes[-1]


def batch_for(seed):
    return make_batch(assign(random_groups(REWARDS, seed=seed), ALGORITHM), ALGORITHM, SAMPLING)


def trained(model, computed_by):
    learner = Learner(model, ALGORITHM, OPTIM, SAMPLING, gradients=computed_by)
    metrics = [untimed(learner.update(batch_for(seed))) for seed in range(NUM_STEPS)]
    return repr(metrics), learner.adapter().hash


@pytest.fixture(scope="module")
def alone(make_policy):
    return trained(make_policy(), Here(NUM_SHARDS))


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch):
    monkeypatch.setattr(workers, "LOOK_SECONDS", 0.02)


@pytest.mark.parametrize("num_workers", [1, 2, 5])
def test_any_number_of_workers_computes_the_same_bits(make_policy, setup, base_hash, alone, num_workers):
    team = Team(setup, base_hash, num_workers)
    team.workers.require_started()
    assert trained(make_policy(), team.workers) == alone
    assert team.said == []
    assert len(team.remotes) == num_workers


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "num_workers"), [("dies", 1), *((fault, 2) for fault in FAULTS)])
def test_what_cannot_be_true_is_named_and_computed_again(make_policy, setup, base_hash, alone, fault, num_workers):
    """The last of the workers fails once, at the second shard that it is given; the adapter comes with the first."""
    place = num_workers - 1, 0, 1 if fault == "hears another adapter" else 2
    team = Team(setup, base_hash, num_workers, lambda *asked: fault if asked == place else None)
    team.workers.require_started()
    assert trained(make_policy(), team.workers) == alone
    (line,) = team.said
    assert line.startswith(f"gradient worker {num_workers - 1} on node-7: {FAULTS[fault]}")
    assert f"of {NUM_SHARDS} is computed again; it is started anew" in line
    assert "\n" not in line
    assert [remote.was_killed for remote in team.remotes] == [*[False] * (num_workers - 1), True, False]


def test_what_always_fails_stops_the_run_with_a_sentence(make_policy, setup, base_hash):
    team = Team(setup, base_hash, 2, lambda *asked: "dies")
    with pytest.raises(RunError, match=r"no gradient worker is left: each was started anew 3 times.*scale.trainers=0"):
        trained(make_policy(), team.workers)
    assert len(team.remotes) == len(team.said) == 2 * (1 + workers.MOST_RESTARTS)
    assert team.said[-1].endswith("it was started anew 3 times, no more")


def test_the_others_go_on_without_a_worker_that_always_fails(make_policy, setup, base_hash, alone):
    team = Team(setup, base_hash, 2, lambda worker, *asked: "dies" if worker == 0 else None)
    assert trained(make_policy(), team.workers) == alone
    assert len(team.said) <= 1 + workers.MOST_RESTARTS


def test_a_run_that_has_diverged_stops_as_it_does_alone(make_policy, setup, base_hash):
    model = make_policy()
    next(parameter for parameter in model.parameters() if parameter.requires_grad).data[0] = math.nan
    team = Team(setup, base_hash, 2)
    with pytest.raises(RunError, match=r"step 1: the loss \(nan\) is not finite"):
        trained(model, team.workers)
    assert all("its gradient is not finite" in line for line in team.said)
    assert 1 <= len(team.said) <= NUM_SHARDS


def test_a_worker_with_another_base_never_serves(make_policy, setup, base_hash, tiny_model_folder):
    team = Team(replace(setup, model=replace(setup.model, dtype="bfloat16")), base_hash, 1)
    with pytest.raises(ConfigError, match="gradient worker 0 on node-7 has loaded another base than the trainer"):
        team.workers.require_started()
    with pytest.raises(RunError, match="no gradient worker is left"):
        trained(make_policy(), team.workers)
    assert all("another base" in line for line in team.said)


@pytest.mark.parametrize("num_dying", [1, 2])
def test_while_the_command_stops_nobody_is_started_anew(make_policy, setup, base_hash, alone, monkeypatch, num_dying):
    """A signal that ends workers as well, as of a batch system: who is left goes on, and without any the run stops."""
    team = Team(setup, base_hash, 2, lambda worker, *asked: "dies" if worker < num_dying else None)
    team.workers.require_started()
    monkeypatch.setattr(STOP, "asked", 15)
    if num_dying == 1:
        assert trained(make_policy(), team.workers) == alone
    else:
        with pytest.raises(RunError, match="no gradient worker is left, and none is started while the command stops"):
            trained(make_policy(), team.workers)
    assert len(team.remotes) == 2
    assert len(team.said) == num_dying
    assert all(line.endswith("it is not started anew, for the command was asked to stop") for line in team.said)
