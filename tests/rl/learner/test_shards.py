"""The gradient as a sum over shards: who computes which of them changes no bit, and the sum is the whole's."""

import pickle
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.commands import untimed
from support.gradients import BARE_GRADIENT, deviation, gradients
from support.rollouts import random_groups

from doubleback.rl.config import OptimConfig
from doubleback.rl.learner.batching import assign, make_batch
from doubleback.rl.learner.gradient.passes import Passes
from doubleback.rl.learner.gradient.shards import Here, added, cut, gradient_of
from doubleback.rl.learner.learner import Learner
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy import lora
from doubleback.rl.types import Routes, Sample, Sampling

REWARDS = [[1.0, 0.0, 0.1], [0.5, 0.0], [1.1, None, 0.0], [0.0, 1.0], [1.0, 0.0]]
SAMPLING = Sampling(group_size=4, temperature=0.8, max_tokens=12)
NUM_STEPS = 2
ALGORITHMS = {
    "default": AlgorithmConfig(),
    "kl, two updates": AlgorithmConfig(kl_coef=0.05, updates_per_batch=2),
    "entropy towards a target": AlgorithmConfig(entropy_coef=0.05, entropy_target=2.0, entropy_delta=0.01),
    "gspo, two updates": AlgorithmConfig(preset="gspo", updates_per_batch=2),
    "replayed routes": AlgorithmConfig(routing_replay=True, entropy_coef=0.01),
}


def batch_for(algorithm, seed=0):
    """Every completion with the experts of each of its tokens in both layers of the tiny policy, drawn by chance."""
    batch = make_batch(assign(random_groups(REWARDS, seed=seed), algorithm), algorithm, SAMPLING)
    rng = np.random.default_rng(seed)
    samples = []
    for sample in batch.samples:
        chosen = rng.permuted(np.tile(np.arange(4), (sample.num_inputs, 2, 1)), axis=-1)[..., :2]
        samples.append(replace(sample, routes=Routes.pack(chosen, 4)))
    return replace(batch, samples=tuple(samples))


class Elsewhere:
    """Workers with policies of their own, to which all travels as bytes; the last shard is computed first."""

    def __init__(self, num_shards, models, algorithm, optim):
        self.num_shards, self.computed = num_shards, []
        self._workers = [Passes(model, algorithm, optim) for model in models]

    def compute(self, passes, shards):
        adapter, answers = lora.export(passes.model), {}
        for index in reversed(range(len(shards))):
            worker = index % len(self._workers)
            lora.load(self._workers[worker].model, adapter.tensors)
            shard = pickle.loads(pickle.dumps(shards[index]))
            answers[index] = pickle.loads(pickle.dumps(gradient_of(self._workers[worker], shard)))
            self.computed.append(worker)
        return [answers[index] for index in range(len(shards))]


def trained(model, algorithm, gradients=None):
    """What the steps say, and the adapter's hash after them."""
    optim = OptimConfig(lr=1e-2, warmup_steps=0, microbatch_tokens=60)
    learner = Learner(model, algorithm, optim, SAMPLING, gradients=gradients or Here())
    metrics = [untimed(learner.update(batch_for(algorithm, seed))) for seed in range(NUM_STEPS)]
    return metrics, learner.adapter().hash


CASES = [("default", 1, 1), ("default", 2, 1), ("default", 4, 3), *((name, 4, 2) for name in ALGORITHMS)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "num_shards", "num_workers"), CASES)
def test_who_computes_the_shards_changes_no_bit(make_policy, name, num_shards, num_workers):
    algorithm = ALGORITHMS[name]
    optim = OptimConfig(lr=1e-2, warmup_steps=0, microbatch_tokens=60)
    # Adapters of their own, which must not matter: the learner's is sent.
    elsewhere = Elsewhere(num_shards, [make_policy(seed=seed) for seed in range(1, num_workers + 1)], algorithm, optim)
    here = trained(make_policy(), algorithm, Here(num_shards))
    there = trained(make_policy(), algorithm, elsewhere)
    assert repr(there) == repr(here)  # NaN is then like NaN, and no digit is left out
    assert len(set(elsewhere.computed)) == num_workers
    assert len(elsewhere.computed) == NUM_STEPS * num_shards * algorithm.updates_per_batch


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_the_shards_add_up_to_the_whole(make_policy, algorithm):
    """On a float64 policy, whose log-softmax alone is float32."""
    found = {}
    for num_shards in (1, 3, 9):
        optim = OptimConfig(**BARE_GRADIENT | {"lr": 1e-4})
        learner = Learner(make_policy(dtype="float64"), algorithm, optim, SAMPLING, gradients=Here(num_shards))
        metrics = untimed(learner.update(batch_for(algorithm)))
        # What all prompts begin with is computed once in each shard, and counted once in each.
        metrics.pop("gap/experts_differ")
        found[num_shards] = gradients(learner), metrics
    whole, metrics = found.pop(1)
    for sharded, said in found.values():
        assert deviation(sharded, whole) < 1e-6
        assert said == pytest.approx(metrics, rel=1e-5, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize(("name", "num_shards"), [("default", 1), ("default", 4), ("kl, two updates", 3)])
@pytest.mark.parametrize("pack", [False, True])
def test_what_the_trainer_said_before_the_step_is_told_of_each_sample_in_the_order_of_the_batch(
    make_policy, name, num_shards, pack
):
    """However the batch is cut, and however often it is learned from: as the model scores each sample by itself."""
    algorithm, batch = ALGORITHMS[name], batch_for(ALGORITHMS[name])
    optim = OptimConfig(lr=1e-2, warmup_steps=0, microbatch_tokens=60, pack=pack)
    learner = Learner(make_policy(), algorithm, optim, SAMPLING, gradients=Here(num_shards))
    assert learner.old_logprobs == []
    sequences = [(sample.prompt_ids, sample.completion_ids) for sample in batch.samples]
    expected = learner.score(sequences, temperature=SAMPLING.temperature)
    learner.update(batch)
    assert len(learner.old_logprobs) == len(batch.samples) > 4
    for told, values in zip(learner.old_logprobs, expected, strict=True):
        assert told == pytest.approx(values, abs=1e-5)
    learner.update(replace(batch, samples=(), places=()))
    assert learner.old_logprobs == []


def test_experts_are_compared_in_every_shard(make_policy):
    (metrics, *_), _ = trained(make_policy(), ALGORITHMS["replayed routes"], Here(4))
    assert 0 < metrics["gap/experts_differ"] < 1
    algorithm = ALGORITHMS["replayed routes"]
    learner = Learner(make_policy(), algorithm, OptimConfig(), SAMPLING, gradients=Here(4))
    kept = replace(batch_for(algorithm), samples=())
    assert np.isnan(learner.update(kept)["gap/experts_differ"])


def sample_of(prompt, length, mark=0):
    return Sample((prompt,), (9,) * length, (), float(mark), 0.0)


def test_the_largest_group_goes_first_to_the_lightest_shard():
    """Groups of 9, 4, 6 and 3 tokens, prompts included once."""
    samples = [sample_of(1, 8), sample_of(2, 3), sample_of(3, 2), sample_of(4, 2), sample_of(3, 3)]
    assert cut(samples, 2) == [[0, 3], [1, 2, 4]]


def test_one_shard_is_the_batch_as_it_is():
    samples = [sample_of(prompt, 1 + prompt % 3, mark) for mark, prompt in enumerate([3, 1, 3, 2, 1])]
    assert cut(samples, 1) == [[0, 1, 2, 3, 4]]
    assert cut([], 4) == []


def shards_of(samples, num_shards):
    return [[samples[index] for index in indices] for indices in cut(samples, num_shards)]


GROUPS = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 30)), max_size=24)


@given(GROUPS, st.integers(1, 5))
def test_a_cut_keeps_groups_whole_and_shards_even(drawn, num_shards):
    samples = [sample_of(prompt, length, mark) for mark, (prompt, length) in enumerate(drawn)]
    shards = shards_of(samples, num_shards)
    assert sorted(sample.advantage for shard in shards for sample in shard) == list(range(len(samples)))
    homes = [{sample.prompt_ids for sample in shard} for shard in shards]
    assert sum(map(len, homes)) == len({sample.prompt_ids for sample in samples})
    assert all(list(shard) == sorted(shard, key=lambda sample: sample.advantage) for shard in shards)
    assert len(shards) == min(num_shards, len({sample.prompt_ids for sample in samples}))
    sizes = [
        {prompt: 1 + sum(len(s.completion_ids) for s in shard if s.prompt_ids == prompt) for prompt in home}
        for shard, home in zip(shards, homes, strict=True)
    ]
    for size in sizes:  # nothing was put on a shard that was not the lightest then
        loads = [sum(other.values()) for other in sizes]
        assert sum(size.values()) - min(size.values()) <= min(loads)


@given(GROUPS, st.randoms(use_true_random=False))
def test_a_cut_depends_on_the_groups_and_not_on_where_their_samples_stand(drawn, chance):
    """Where all groups differ in size; of equals the first goes first."""
    samples = [sample_of(prompt, length, mark) for mark, (prompt, length) in enumerate(drawn)]
    totals = [1 + sum(length for other, length in drawn if other == prompt) for prompt in {p for p, _ in drawn}]
    if len(set(totals)) < len(totals):
        return
    moved = random.Random(chance.random()).sample(samples, len(samples))
    assert [set(shard) for shard in shards_of(moved, 3)] == [set(shard) for shard in shards_of(samples, 3)]


def test_what_a_shard_does_not_reach_adds_nothing():
    one, other = torch.tensor([1.0, -0.0]), torch.tensor([2.0, 0.5])
    assert added((None, one, None), (None, None, other)) == (None, one, other)
    (total,) = added((one,), (other,))
    assert total.tolist() == [3.0, 0.5]
    assert one.tolist() == [1.0, 0.0]
