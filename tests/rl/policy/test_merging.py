"""Merged weights: the base plus what the adapter adds, in float32, with the base left alone."""

import copy

import pytest
import torch
from support.models.policies import logits, plain_base, randomised
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, GptOssConfig

from doubleback.rewards.types import RunError
from doubleback.rl.config import LoraSettings
from doubleback.rl.policy import lora, merging
from doubleback.rl.policy.base import base_tensors, load_base
from doubleback.rl.policy.merged_checkpoint import merge_checkpoint
from doubleback.rl.types import ModelSource

TARGETS = pytest.mark.parametrize("targets", ["attention", "experts", "all"])
DTYPES = pytest.mark.parametrize("dtype", ["float32", "bfloat16"])


@pytest.fixture
def tiny_base(tiny_model_folder):
    return load_base(ModelSource(str(tiny_model_folder), "float32", 256))


@TARGETS
@DTYPES
def test_merged_equals_peft_and_leaves_the_base_alone(make_policy, targets, dtype):
    """PEFT merges in the base's dtype; one rounding of a bfloat16 weight is 2^-8 of it."""
    model = randomised(make_policy(targets=targets, dtype=dtype))
    base = plain_base(model)
    before = copy.deepcopy(base)
    merged = merging.merged(base, lora.export(model))
    expected = dict(model.merge_and_unload().named_parameters())
    assert set(merged) == {target.parameter for target in lora.targets(make_policy(targets=targets))}
    for name, tensor in merged.items():
        assert tensor.dtype == base[name].dtype
        tolerance = {"atol": 1e-6, "rtol": 0} if dtype == "float32" else {"atol": 1e-3, "rtol": 2**-7}
        assert_close(tensor, expected[name].data, **tolerance)
        assert (tensor != base[name]).float().mean() > 0.5
    assert all(torch.equal(base[name], before[name]) for name in base)


def test_merged_is_summed_in_float32_and_rounded_once(make_policy):
    model = randomised(make_policy(dtype="bfloat16"))
    base, adapter = plain_base(model), lora.export(model)
    target = next(target for target in adapter.targets if target.parameter.endswith("0.self_attn.q_proj.weight"))
    a, b = (adapter.tensors[f"{target.key}.lora_{side}.weight"].double() for side in "AB")
    exact = base[target.parameter].double() + 2.0 * b @ a
    gap = (merging.merged(base, adapter)[target.parameter].double() - exact).abs()
    assert (gap <= exact.abs() * 2**-8 * 1.001 + 1e-6).all()


def test_merged_reads_every_expert_from_its_own_factors(make_policy):
    """PEFT's layout: A (R * E, I) with experts outermost, B (O, R * E) with experts innermost."""
    model = randomised(make_policy(targets="experts"))
    base, adapter = plain_base(model), lora.export(model)
    merged = merging.merged(base, adapter)
    for target in adapter.targets:
        a, b = (adapter.tensors[f"{target.key}.lora_{side}.weight"] for side in "AB")
        rank = a.shape[0] // target.num_experts
        for expert in range(target.num_experts):
            delta = 2.0 * b[:, expert :: target.num_experts] @ a[expert * rank : (expert + 1) * rank]
            change = merged[target.parameter][expert] - base[target.parameter][expert]
            assert_close(change, delta, atol=1e-6, rtol=0)


@TARGETS
def test_merged_weights_give_the_logits_of_the_adapter(make_policy, tiny_base, targets):
    model = randomised(make_policy(targets=targets))
    base = base_tensors(tiny_base)
    plain = logits(tiny_base)
    tiny_base.load_state_dict({**base, **merging.merged(base, lora.export(model))})
    assert_close(logits(tiny_base), logits(model), atol=5e-5, rtol=0)
    assert (logits(model) - plain).abs().mean() > 1e-2


def test_merged_transposes_experts_that_are_stored_the_other_way_round():
    """gpt-oss keeps its experts as (E, I, O)."""
    config = GptOssConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        num_local_experts=4,
        num_experts_per_tok=2,
        intermediate_size=48,
        layer_types=["full_attention"],
    )
    model = randomised(lora.attach(AutoModelForCausalLM.from_config(config), LoraSettings(rank=2), seed=0))
    assert {target.is_transposed for target in lora.targets(model) if target.part == "experts"} == {True}
    merged = merging.merged(plain_base(model), lora.export(model))
    expected = dict(model.merge_and_unload().named_parameters())
    for name, tensor in merged.items():
        assert_close(tensor, expected[name].data, atol=1e-6, rtol=0)


def test_an_adapter_that_is_not_finite_is_merged_into_no_checkpoint(make_policy, tiny_model_folder, tmp_path):
    model = randomised(make_policy())
    with torch.no_grad():
        [*_, last] = (parameter for parameter in model.parameters() if parameter.requires_grad)
        last[0, 0] = torch.nan
    lora.save(model, tmp_path / "adapter")
    with pytest.raises(RunError, match=r"adapter merged into \S+ computes no finite logits \(rounding nan"):
        merge_checkpoint(str(tiny_model_folder), tmp_path / "adapter", tmp_path / "merged", None)
    assert not (tmp_path / "merged").exists()
