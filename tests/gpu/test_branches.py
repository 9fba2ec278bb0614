"""What the code does where there is a CUDA device, on a machine without one: only that question is faked."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.gradients import deviation
from support.models.families import make_family_model
from support.models.policies import IDS, randomised

from doubleback.recipes.models.configuration import configuration
from doubleback.recipes.recipe import assembly
from doubleback.recipes.recipe.loading import load_recipe
from doubleback.rewards.types import ConfigError, RunError
from doubleback.rl import free_memory
from doubleback.rl.config import LoraSettings
from doubleback.rl.policy import experts, lora
from doubleback.rl.policy.base import load_base
from doubleback.rl.policy.families import FAMILIES, refuse_unsupported
from doubleback.rl.types import ModelSource


def forward_and_backward(folder, dtype, rank):
    base = load_base(ModelSource(str(folder), dtype, 128))
    model = randomised(lora.attach(base, LoraSettings(rank=4, expert_rank=rank), seed=0), std=0.1)
    logits = model(input_ids=IDS).logits.float()
    logits.log_softmax(-1)[..., 5].sum().backward()
    return {"logits": logits.detach()}, {name: p.grad for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(("dtype", "rank", "bound"), [("float32", 1, 1e-5), ("bfloat16", 4, 0.05)])
def test_experts_in_one_kernel_compute_what_they_compute_one_by_one(tmp_path, monkeypatch, dtype, rank, bound):
    """torch's CPU kernel refuses what CUDA's does: matrices whose rows do not begin at multiples of 16 bytes."""
    folder = make_family_model("qwen3_moe", tmp_path)
    expected, expected_gradients = forward_and_backward(folder, dtype, rank)
    monkeypatch.setattr(experts, "is_grouped", lambda tensor: True)
    found, gradients = forward_and_backward(folder, dtype, rank)
    assert deviation(found, expected) < bound
    assert deviation(gradients, expected_gradients) < bound
    assert all(gradient.abs().max() > 0 for gradient in gradients.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_experts_of_every_family_have_what_the_one_kernel_wants(tmp_path, monkeypatch, name):
    folder = make_family_model(name, tmp_path)
    expected, expected_gradients = forward_and_backward(folder, "float32", rank=2)
    monkeypatch.setattr(experts, "is_grouped", lambda tensor: True)
    found, gradients = forward_and_backward(folder, "float32", rank=2)
    assert deviation(found | gradients, expected | expected_gradients) < 1e-4


def test_free_memory_is_the_device_s(monkeypatch):
    monkeypatch.setattr(free_memory, "is_cuda", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (7, 80))
    assert free_memory.free_memory() == 7


def test_an_adapter_on_experts_is_planned_for_as_it_is_and_not_merged(monkeypatch):
    recipe = load_recipe("gsm8k", {"model": "olmoe-1b-7b"})
    config = configuration(recipe.model.path)
    assert assembly.recipe_memory(recipe, config, "bfloat16").merge > 0
    monkeypatch.setattr(assembly, "is_cuda", lambda: True)
    assert assembly.recipe_memory(recipe, config, "bfloat16").merge == 0
    monkeypatch.setattr(assembly, "free_memory", lambda: 80 << 30)
    assert assembly.sized(recipe, config, "bfloat16").engine.kv_cache_mib > 1024


def test_layers_that_a_cpu_cannot_serve_are_refused_there_alone():
    config = SimpleNamespace(model_type="granitemoehybrid", layer_types=["mamba", "attention"])
    with pytest.raises(ConfigError, match="granitemoehybrid with 1 mamba layers"):
        refuse_unsupported(config, "bfloat16", is_cuda=False)
    refuse_unsupported(config, "bfloat16", is_cuda=True)


@pytest.mark.slow  # imports vLLM
class TestVllm:
    def test_its_options_are_those_of_the_device(self, tmp_path, monkeypatch):
        from doubleback.rl.engines import vllm_start

        deepseek = ModelSource(str(make_family_model("deepseek_v2", tmp_path / "deepseek")), "float32", 128)
        on_cpu = {"enable_chunked_prefill": False}
        assert vllm_start.device_options(deepseek, True) == on_cpu | {"attention_backend": "CPU_MLA"}
        qwen = ModelSource(str(make_family_model("qwen3_moe", tmp_path / "qwen")), "float32", 128)
        assert vllm_start.device_options(qwen, True) == on_cpu | {"block_size": vllm_start.BLOCK}
        monkeypatch.setattr(vllm_start, "is_cuda", lambda: True)
        on_cuda = {"gpu_memory_utilization": vllm_start.LEAST_SHARE}
        assert vllm_start.device_options(deepseek, True) == on_cuda | {"enable_return_routed_experts": True}
        assert vllm_start.device_options(qwen, False) == on_cuda

    def test_a_trainer_that_fills_the_card_leaves_it_its_start(self):
        """vLLM refuses to start unless a share of the whole card is free, though the size of its cache is given."""
        from vllm.config import CacheConfig
        from vllm.v1.worker.utils import request_memory

        from doubleback.rl.engines.vllm_start import LEAST_SHARE

        card = SimpleNamespace(total_memory=80 << 30, free_memory=30 << 30, device_="cuda:0")
        with pytest.raises(ValueError, match="is less than desired GPU memory utilization"):
            request_memory(card, CacheConfig())
        request_memory(card, CacheConfig(gpu_memory_utilization=LEAST_SHARE))

    def test_experts_with_an_adapter_keep_the_kernels_that_carry_it(self, monkeypatch):
        from vllm.model_executor.layers.fused_moe import unquantized_fused_moe_method as unquantized

        from doubleback.rl.engines import vllm_adapters

        asked = []
        monkeypatch.setattr(unquantized, "select_unquantized_moe_backend", lambda config: asked.append(config))
        vllm_adapters._keep_cpu_experts_with_lora()
        for has_device in (False, True):
            monkeypatch.setattr(vllm_adapters, "is_cuda", lambda has_device=has_device: has_device)
            unquantized.select_unquantized_moe_backend(SimpleNamespace(is_lora_enabled=True))
        assert [config.is_lora_enabled for config in asked] == [False, True]

    def test_routes_are_those_that_it_reports(self):
        from vllm.outputs import CompletionOutput

        from doubleback.rl.engines.vllm import _reported_routes

        experts_NLK = np.random.default_rng(0).integers(0, 64, (9, 2, 3)).astype(np.int32)
        sample = CompletionOutput(0, "", (5, 6, 7, 8), None, None, routed_experts=experts_NLK)
        assert np.array_equal(_reported_routes(sample, num_prompt=3, num_experts=64).unpack(), experts_NLK[:6])
        with pytest.raises(RunError, match="vLLM reports no experts of what it sampled"):
            _reported_routes(CompletionOutput(0, "", (5,), None, None), num_prompt=3, num_experts=64)
