"""The learner: one update is the reference's gradient, however it is cut; nothing but the adapter moves."""

import io
import math
import random
from dataclasses import replace

import pytest
import torch
from support.commands import untimed
from support.gradients import BARE_GRADIENT, ByHand, completion_logits, completion_logprobs, deviation, gradients
from support.oracles import reference
from support.rollouts import random_groups
from torch.testing import assert_close

from doubleback.rl.config import OptimConfig
from doubleback.rl.learner.batching import assign, make_batch
from doubleback.rl.learner.learner import Learner
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.presets import PRESETS
from doubleback.rl.policy import lora, merging
from doubleback.rl.policy.base import load_base
from doubleback.rl.types import ModelSource, Sampling

REWARDS = [[1.0, 0.0, 0.1, 1.1], [0.5, 0.5, 0.5, 0.5], [0.1, 1.1, None, 0.0], [0.0, 0.0, 0.0, 0.0]]
SAMPLING = Sampling(group_size=8, temperature=0.8, max_tokens=12)
EXACT = 1e-6
"""Relative bound of equalities on a float64 policy: the log-softmax stays float32."""


def make_learner(model, *, algorithm=None, **optim):
    return Learner(model, algorithm or AlgorithmConfig(), OptimConfig(**BARE_GRADIENT | {"lr": 1e-2} | optim), SAMPLING)


def batch_for(algorithm=None, *, rewards=REWARDS, seed=0):
    algorithm = algorithm or AlgorithmConfig()
    groups = assign(random_groups(rewards, seed=seed), algorithm)
    return make_batch(groups, algorithm, SAMPLING)


def update_gradients(model, batch, *, algorithm=None, **optim):
    learner = make_learner(model, algorithm=algorithm, **optim)
    learner.update(batch)
    return gradients(learner)


@pytest.fixture
def tiny_base(tiny_model_folder):
    return load_base(ModelSource(str(tiny_model_folder), "float32", 256))


@pytest.fixture
def double_base(tiny_base):
    tiny_base.set_experts_implementation("eager")
    return tiny_base.double()


ALGORITHMS = {
    "default": AlgorithmConfig(),
    "sequence, standardised": AlgorithmConfig(normaliser="sequence", advantage="standardise"),
    "token, no importance": AlgorithmConfig(normaliser="token", importance_cap=None),
    "to the sampler": AlgorithmConfig(old_logprobs="sampler"),
    "kl": AlgorithmConfig(kl_coef=0.1),
    "masked": AlgorithmConfig(mask_truncated=True),
    "entropy": AlgorithmConfig(entropy_coef=0.05),
    "kl times ratio, entropy": AlgorithmConfig(kl_coef=0.1, kl_times_ratio=True, entropy_coef=0.05),
    **{name: AlgorithmConfig(preset=name) for name in PRESETS},
}


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_update_follows_the_reference(make_policy, double_base, algorithm):
    batch = batch_for(algorithm)
    learner = make_learner(make_policy(dtype="float64"), algorithm=algorithm)
    by_hand = ByHand(make_policy(dtype="float64"), double_base, batch, algorithm)
    metrics = learner.update(batch)
    assert metrics["learner/loss"] == pytest.approx(by_hand.backward(), rel=1e-5, abs=2e-7)
    assert deviation(gradients(learner), by_hand.gradients()) < 2e-6


@pytest.mark.slow
@pytest.mark.parametrize("preset", [None, "gspo", "gspo_token", "cispo", "sapo"])
def test_later_updates_of_a_batch_keep_the_first_passes_logprobs_as_old(make_policy, double_base, preset):
    algorithm = AlgorithmConfig(preset=preset, updates_per_batch=3, kl_coef=0.05)
    batch = batch_for(algorithm)
    learner = make_learner(make_policy(dtype="float64"), algorithm=algorithm)
    by_hand = ByHand(make_policy(dtype="float64"), double_base, batch, algorithm)
    metrics = learner.update(batch)
    parameters = [parameter for parameter in by_hand.model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=1e-2, betas=(0.0, 0.99), weight_decay=0.0)
    losses = []
    for _ in range(3):
        optimiser.zero_grad()
        losses.append(by_hand.backward())
        expected = by_hand.gradients()
        optimiser.step()
    if preset not in ("cispo", "sapo"):
        assert metrics["learner/clip_low"] + metrics["learner/clip_high"] > 0.05
    assert metrics["learner/loss"] == pytest.approx(math.fsum(losses) / 3, rel=1e-5, abs=1e-7)
    # AdamW divides by the size of a gradient: the rounding of the smallest ones comes back enlarged
    assert deviation(gradients(learner), expected) < 2e-4


@pytest.mark.parametrize("microbatch_tokens", [1, 30, 64])
@pytest.mark.parametrize("normaliser", ["constant", "token", "sequence"])
def test_gradient_does_not_depend_on_the_microbatch(make_policy, microbatch_tokens, normaliser):
    algorithm = AlgorithmConfig(normaliser=normaliser, kl_coef=0.05)
    whole, cut = (
        update_gradients(
            make_policy(dtype="float64"), batch_for(algorithm), algorithm=algorithm, microbatch_tokens=size
        )
        for size in (100_000, microbatch_tokens)
    )
    assert deviation(cut, whole) < EXACT


def test_gradient_does_not_depend_on_the_microbatch_in_float32(make_policy):
    whole, cut = (update_gradients(make_policy(), batch_for(), microbatch_tokens=size) for size in (100_000, 30))
    assert deviation(cut, whole) < 1e-5


def test_gradient_does_not_depend_on_the_order_of_samples(make_policy):
    batch = batch_for()
    samples = random.Random(0).sample(batch.samples, len(batch.samples))
    shuffled = replace(batch, samples=tuple(samples))
    assert shuffled != batch
    one, other = (update_gradients(make_policy(dtype="float64"), item) for item in (batch, shuffled))
    assert deviation(other, one) < EXACT


def test_leaving_groups_without_signal_out_changes_no_gradient(make_policy):
    left_out, kept = batch_for(), batch_for(AlgorithmConfig(kl_coef=0.1))
    assert (len(left_out.samples), len(kept.samples)) == (7, 15)
    one, other = (update_gradients(make_policy(dtype="float64"), item) for item in (left_out, kept))
    assert deviation(other, one) < EXACT


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_base_is_bit_identical_after_updates_exports_and_scores(make_policy, dtype):
    model = make_policy(dtype=dtype)
    base = {name: p.detach().clone() for name, p in model.named_parameters() if "lora_" not in name}
    named = {name.removeprefix(lora.PREFIX).replace(".base_layer", ""): model.get_parameter(name).data for name in base}
    algorithm = AlgorithmConfig(kl_coef=0.1, updates_per_batch=2)
    learner = make_learner(model, algorithm=algorithm, weight_decay=0.1)
    for seed in range(3):
        learner.update(batch_for(algorithm, seed=seed))
        learner.score([((1, 20), (21, 2))], frozenset())
        merging.merged(named, learner.adapter())
    after = dict(model.named_parameters())
    assert all(torch.equal(after[name], tensor) for name, tensor in base.items())
    assert not any(after[name].requires_grad for name in base)
    frozen = "\n".join(base)
    assert all(part in frozen for part in ("mlp.gate.weight", "embed_tokens", "input_layernorm", "model.norm"))


def test_every_adapter_tensor_moves_within_two_updates(make_policy):
    """B is zero at first, so the first update reaches B alone; from the second on A moves too."""
    learner = make_learner(make_policy(b_std=0))
    versions = [learner.adapter().tensors]
    for seed in range(2):
        learner.update(batch_for(seed=seed))
        versions.append(learner.adapter().tensors)
    for name in versions[0]:
        assert torch.equal(versions[0][name], versions[1][name]) == (".lora_A." in name)
        assert not torch.equal(versions[1][name], versions[2][name])


def test_an_empty_batch_moves_nothing_but_counts_as_a_step(make_policy):
    learner = make_learner(make_policy())
    learner.update(batch_for())
    before, moments = learner.adapter().hash, gradients(learner)
    empty = batch_for(rewards=[[1.0, 1.0], [None, None]])
    assert empty.samples == ()
    metrics = learner.update(empty)
    assert learner.step == 2
    assert learner.adapter().hash == before
    assert all(torch.equal(tensor, moments[name]) for name, tensor in gradients(learner).items())
    assert metrics["learner/tokens"] == 0
    assert all(math.isnan(metrics[name]) for name in ("learner/loss", "learner/grad_norm", "learner/entropy", "gap/k3"))


def test_gradient_is_clipped_to_its_global_norm_and_reported_before(make_policy):
    bare = update_gradients(make_policy(), batch_for())
    norm = math.sqrt(sum(float(tensor.double().square().sum()) for tensor in bare.values()))
    learner = make_learner(make_policy(), max_grad_norm=norm / 10)
    assert learner.update(batch_for())["learner/grad_norm"] == pytest.approx(norm, rel=1e-5)
    assert deviation(gradients(learner), {name: tensor / 10 for name, tensor in bare.items()}) < 1e-4


def test_rate_warms_up_linearly_and_then_stays(make_policy):
    learner = make_learner(make_policy(), lr=1e-3, warmup_steps=3)
    rates = [learner.update(batch_for())["learner/lr"] for _ in range(6)]
    assert rates == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3, 1e-3, 1e-3, 1e-3], rel=1e-12)


def test_first_step_moves_each_weight_by_the_rate(make_policy):
    """AdamW's first step is lr * sign(gradient), but for weights whose gradient is next to its epsilon of 1e-8."""
    learner = make_learner(make_policy(), lr=1e-4, warmup_steps=1)
    before = learner.adapter().tensors
    learner.update(batch_for())
    after, found = learner.adapter().tensors, gradients(learner)
    for name, tensor in after.items():
        gradient = found[name.replace(".weight", ".default.weight")]
        clear = gradient.abs() > 1e-5
        assert_close((tensor - before[name])[clear], -0.5e-4 * gradient.sign()[clear], atol=2e-7, rtol=0)


@pytest.mark.parametrize("settings", [{}, {"entropy_coef": 0.1, "entropy_target": 3.0}], ids=str)
def test_restored_learner_continues_to_the_last_bit(make_policy, settings):
    algorithm = AlgorithmConfig(updates_per_batch=2, **settings)

    def updates(learner, steps):
        return [untimed(learner.update(batch_for(algorithm, seed=step))) for step in steps]

    uninterrupted = make_learner(make_policy(), algorithm=algorithm, beta1=0.9, warmup_steps=4)
    expected = updates(uninterrupted, range(5))
    first = make_learner(make_policy(), algorithm=algorithm, beta1=0.9, warmup_steps=4)
    metrics = updates(first, range(2))
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second = make_learner(make_policy(seed=9), algorithm=algorithm, beta1=0.9, warmup_steps=4)
    second.restore(first.adapter().tensors, torch.load(file, weights_only=True))
    assert second.step == 2
    metrics += updates(second, range(2, 5))
    assert second.adapter().hash == uninterrupted.adapter().hash
    assert metrics == expected


def test_adaptive_entropy_raises_the_coefficient_step_by_step(make_policy):
    """The first step has none yet; the tiny policy's entropy of 2.5 nats stays under the target of 4."""
    algorithm = AlgorithmConfig(entropy_coef=0.1, entropy_target=4.0, entropy_delta=0.02, entropy_max=0.13)
    learner = make_learner(make_policy(), algorithm=algorithm)
    applied = [learner.update(batch_for(algorithm, seed=step))["learner/entropy_coef"] for step in range(4)]
    assert applied == pytest.approx([0.0, 0.12, 0.13, 0.13], rel=1e-12)


def test_state_of_another_adapter_is_refused(make_policy):
    learner, other = make_learner(make_policy()), make_learner(make_policy(targets="attention"))
    other.update(batch_for())
    with pytest.raises(ValueError, match="does not fit this model"):
        learner.restore(other.adapter().tensors, other.state())


def test_learner_metrics_by_direct_computation(make_policy, tiny_base):
    algorithm = AlgorithmConfig(kl_coef=0.1)
    model, batch = make_policy(), batch_for(algorithm)
    entropies, gaps, kls = [], [], []
    with torch.no_grad():
        for sample in batch.samples:
            rows = completion_logits(model, sample, SAMPLING.temperature).tolist()
            old = completion_logprobs(model, sample, SAMPLING.temperature).tolist()
            ref = completion_logprobs(tiny_base, sample, SAMPLING.temperature).tolist()
            entropies += [reference.entropy(row, 1.0) for row in rows]
            gaps += [a - b for a, b in zip(old, sample.sampler_logprobs, strict=True)]
            kls += [reference.k3(a, b) for a, b in zip(old, ref, strict=True)]
    metrics = make_learner(model, algorithm=algorithm, microbatch_tokens=40).update(batch)
    count = len(gaps)
    assert metrics["learner/tokens"] == count == sum(len(sample.completion_ids) for sample in batch.samples)
    assert metrics["learner/entropy"] == pytest.approx(math.fsum(entropies) / count, rel=1e-5)
    assert metrics["gap/mean_abs"] == pytest.approx(math.fsum(map(abs, gaps)) / count, rel=1e-5)
    assert metrics["gap/max_abs"] == pytest.approx(max(map(abs, gaps)), rel=1e-5)
    assert metrics["gap/k3"] == pytest.approx(math.fsum(reference.k3(0.0, gap) for gap in gaps) / count, rel=1e-5)
    assert metrics["learner/kl_ref"] == pytest.approx(math.fsum(kls) / count, rel=1e-4)
    assert metrics["learner/importance_capped"] == sum(gap >= math.log(2) for gap in gaps) / count
    assert metrics["learner/clip_low"] == metrics["learner/clip_high"] == 0
