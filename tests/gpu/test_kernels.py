"""On a CUDA device: the products of experts, an update, and its memory. None of it needs vLLM."""

import pytest
import torch
from support.gradients import BARE_GRADIENT, deviation, gradients
from support.models.families import make_family_model
from support.models.policies import randomised
from support.rollouts import SAMPLING, random_groups
from transformers import AutoModelForCausalLM

from doubleback.recipes.models.configuration import configuration
from doubleback.rl.config import LoraSettings, OptimConfig, SamplingConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.learner.batching import assign, make_batch
from doubleback.rl.learner.learner import Learner
from doubleback.rl.memory import Plan, estimate
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy import experts, lora
from doubleback.rl.policy.base import load_base
from doubleback.rl.policy.logprobs import head_in_float32
from doubleback.rl.types import ModelSource

pytestmark = pytest.mark.gpu

NUM_EXPERTS, HIDDEN, INNER = 64, 2048, 2048
"""Of OLMoE-1B-7B: gate and up together have 2048 rows."""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("rank", [8, INNER])
def test_products_of_experts_in_one_kernel_are_those_one_by_one(rank, monkeypatch, record_property):
    """bfloat16, 4,096 pairs of token and expert, three experts without any: outputs, and sums of outer products."""
    generator = torch.Generator("cuda").manual_seed(0)
    rows, other = (torch.randn(4096, width, device="cuda", generator=generator).bfloat16() for width in (HIDDEN, rank))
    matrices = (torch.randn(NUM_EXPERTS, HIDDEN, rank, device="cuda", generator=generator) / 45).bfloat16()
    chosen = torch.randint(3, NUM_EXPERTS, (4096,), device="cuda", generator=generator)
    ends = torch.bincount(chosen, minlength=NUM_EXPERTS).cumsum(0).to(torch.int32)
    found = experts._times(rows, matrices, ends), experts._outer_products(rows, other, ends)
    monkeypatch.setattr(experts, "is_grouped", lambda tensor: False)
    expected = experts._times(rows, matrices, ends), experts._outer_products(rows, other, ends)
    for name, one, many in zip(("products", "outer products"), found, expected, strict=True):
        gap = float((one.float() - many.float()).abs().max() / many.float().abs().max())
        record_property(f"{name}, largest deviation", f"{gap:.1e}")
        assert gap < 0.02
    assert (found[1][:3] == 0).all()


@pytest.mark.timeout(90)
@pytest.mark.parametrize("family", ["olmoe", "gpt_oss"])
def test_the_gradient_of_a_step_is_the_cpus(family, tmp_path, monkeypatch, record_property):
    folder = make_family_model(family, tmp_path)

    def gradient():
        base = load_base(ModelSource(str(folder), "float32", 128))
        model = randomised(lora.attach(base, LoraSettings(rank=4, alpha=8.0, expert_rank=2), seed=0))
        learner = Learner(model, AlgorithmConfig(), OptimConfig(**BARE_GRADIENT, microbatch_tokens=64), SAMPLING)
        learner.update(learner.batch(random_groups([[1.0, 0.0, 0.0, 1.0]] * 3)))
        return {name: tensor.cpu() for name, tensor in gradients(learner).items()}

    found = gradient()
    # Where the base is, there is everything.
    monkeypatch.setattr("doubleback.rl.policy.base.is_cuda", lambda: False)
    gap = deviation(found, gradient())
    record_property("largest deviation", f"{gap:.1e}")
    assert gap < 1e-3


@pytest.mark.timeout(90)
def test_memory_of_an_update_is_within_a_factor_of_two_of_the_estimate(record_property):
    """Four layers of OLMoE-1B-7B in bfloat16, beyond what was held before the first update."""
    config = configuration("allenai/OLMoE-1B-7B-0125")
    config.num_hidden_layers = 4
    settings, optim = LoraSettings(rank=32, alpha=64.0), OptimConfig(microbatch_tokens=8192)
    with torch.device("cuda"):
        base = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval().requires_grad_(False)
    head_in_float32(base)
    algorithm = AlgorithmConfig()
    learner = Learner(lora.attach(base, settings, seed=0), algorithm, optim, SAMPLING)
    groups = random_groups([[1.0, 0.0] * 8] * 16, max_tokens=256, prompt_tokens=(80, 120))
    batch = make_batch(assign(groups, algorithm), algorithm, SamplingConfig(max_tokens=256))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    learner.update(batch)
    measured = torch.cuda.max_memory_allocated() - before
    memory = estimate(config, Plan("bfloat16", settings, optim, EngineConfig(), "auto", 512, 1 << 20), has_cuda=True)
    expected = memory.gradients + memory.activations + memory.logits + 8 * memory.num_adapter
    record_property("measured GiB", f"{measured / (1 << 30):.2f}")
    record_property("estimate GiB", f"{expected / (1 << 30):.2f}")
    assert 0.5 < measured / expected < 2
