"""The adapter: what carries it, what it adds to the base, and how it is copied, hashed, saved and silenced."""

import copy

import pytest
import torch
from peft import PeftModel
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, GptOssConfig, Qwen3Config

from doubleback.rewards.types import ConfigError
from doubleback.rl.config import LoraSettings
from doubleback.rl.policy import families, lora, merging
from doubleback.rl.policy.base import base_tensors, load_base
from doubleback.rl.types import ModelSource

TARGETS = pytest.mark.parametrize("targets", ["attention", "experts", "all"])
DTYPES = pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
PINNED_HASH = "ce4bb2e2eb21cf46633a6cc46390041c775867e9f7b37b41a290bac5d78dff6e"
IDS = torch.randint(3, 118, (3, 17), generator=torch.Generator().manual_seed(5))


@pytest.fixture
def tiny_base(tiny_model_folder):
    return load_base(ModelSource(str(tiny_model_folder), "float32", 256))


@torch.no_grad()
def logits(model):
    return model(input_ids=IDS).logits


def plain_base(model):
    """The base's parameters by their own names, copied, read from under the adapter."""
    return {
        name.removeprefix(lora.PREFIX).replace(".base_layer", ""): parameter.detach().clone()
        for name, parameter in model.named_parameters()
        if "lora_" not in name
    }


def randomised(model, seed=3, std=0.05):
    generator = torch.Generator().manual_seed(seed)
    tensors = lora.export(model).tensors
    lora.load(model, {k: v + std * torch.randn(v.shape, generator=generator) for k, v in tensors.items()})
    return model


@TARGETS
def test_targets_are_what_the_recipe_names(make_policy, targets):
    found = lora.targets(make_policy(targets=targets))
    layers = [f"model.layers.{layer}" for layer in (0, 1)]
    attention = {f"{layer}.self_attn.{name}.weight" for layer in layers for name in families.ATTENTION}
    experts = {f"{layer}.mlp.{name}" for layer in layers for name in families.EXPERTS}
    wanted = (attention if targets != "experts" else set()) | (experts if targets != "attention" else set())
    assert {target.parameter for target in found} == wanted
    assert {target.parameter for target in found if target.part == "experts"} == wanted & experts
    assert {target.num_experts for target in found if target.part == "experts"} <= {4}
    assert {target.scaling for target in found} == {2.0}


@TARGETS
def test_only_the_adapter_is_trainable(make_policy, targets):
    model = make_policy(targets=targets)
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trainable == {name for name, _ in model.named_parameters() if "lora_" in name}
    assert len(trainable) == 2 * len(lora.targets(model))


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


def test_a_fresh_adapter_is_the_bare_base(make_policy, tiny_base):
    model = make_policy(b_std=0)
    assert torch.equal(logits(model), logits(tiny_base))
    merged = merging.merged(base_tensors(tiny_base), lora.export(model))
    assert all(torch.equal(tensor, base_tensors(tiny_base)[name]) for name, tensor in merged.items())


@DTYPES
def test_adapter_is_float32_on_any_base(make_policy, dtype):
    model = make_policy(dtype=dtype)
    dtypes = {parameter.dtype for name, parameter in model.named_parameters() if "lora_" in name}
    assert dtypes == {torch.float32}
    assert {parameter.dtype for name, parameter in model.named_parameters() if "lora_" not in name} == {
        getattr(torch, dtype)
    }
    assert {tensor.dtype for tensor in lora.export(model).tensors.values()} == {torch.float32}


@TARGETS
@DTYPES
def test_saved_adapter_loads_with_peft_and_gives_the_same_logits(
    make_policy, tiny_model_folder, tmp_path, targets, dtype
):
    model = randomised(make_policy(targets=targets, dtype=dtype))
    lora.save(model, tmp_path)
    base = load_base(ModelSource(str(tiny_model_folder), dtype, 256))
    loaded = PeftModel.from_pretrained(base, tmp_path)
    assert lora.export(loaded).hash == lora.export(model).hash
    # PEFT rounds W + B A to the base's precision, rl.policy.experts does not.
    gap = (logits(loaded) - logits(model)).abs()
    assert gap.max() < 1e-4 if dtype == "float32" else gap.mean() < 0.05
    again = lora.restore(load_base(ModelSource(str(tiny_model_folder), dtype, 256)), tmp_path)
    assert torch.equal(logits(again), logits(model))


def test_saving_twice_writes_the_same_bytes(make_policy, tmp_path):
    model = make_policy()
    for folder in ("a", "b"):
        lora.save(model, tmp_path / folder)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_load_restores_the_hash(make_policy):
    source, other = randomised(make_policy()), make_policy(seed=1)
    assert lora.export(source).hash != lora.export(other).hash
    lora.load(other, lora.export(source).tensors)
    assert lora.export(other).hash == lora.export(source).hash


def test_load_refuses_an_adapter_that_would_not_arrive_whole(make_policy):
    model = make_policy(targets="all")
    before = lora.export(model)
    tensors = dict(before.tensors)
    dropped = sorted(tensors)[0]
    del tensors[dropped]
    with pytest.raises(ValueError, match="does not fit this model: base_model"):
        lora.load(model, tensors)
    with pytest.raises(ValueError, match="does not fit this model"):
        lora.load(model, lora.export(make_policy(targets="attention")).tensors)
    assert lora.export(model).hash == before.hash


def test_export_is_a_copy(make_policy):
    model = make_policy()
    adapter = lora.export(model)
    values = {name: tensor.clone() for name, tensor in adapter.tensors.items()}
    randomised(model)
    assert all(torch.equal(adapter.tensors[name], values[name]) for name in values)
    assert adapter.hash == lora.hash_tensors(values)


def test_hash_is_pinned():
    """Rollouts and receipts on disk carry it: it must not depend on library versions or on the order of names."""
    tensors = {"b": torch.arange(6, dtype=torch.float32).view(2, 3), "a": torch.tensor([1.5], dtype=torch.bfloat16)}
    assert lora.hash_tensors(tensors) == PINNED_HASH
    assert lora.hash_tensors(dict(reversed(tensors.items()))) == PINNED_HASH


def test_hash_changes_with_every_tensor(make_policy):
    tensors = dict(lora.export(make_policy()).tensors)
    hashes = {lora.hash_tensors(tensors)}
    for name, tensor in tensors.items():
        moved = tensor.clone()
        moved.view(-1)[-1] = torch.nextafter(moved.view(-1)[-1], torch.tensor(9.0))
        hashes.add(lora.hash_tensors({**tensors, name: moved}))
    assert len(hashes) == 1 + len(tensors)


def test_hash_covers_name_shape_and_dtype():
    tensor = torch.arange(6.0)
    variants = [{"a": tensor}, {"b": tensor}, {"a": tensor.view(2, 3)}, {"a": tensor.view(torch.int32)}]
    assert len({lora.hash_tensors(variant) for variant in variants}) == 4


def test_attach_depends_on_its_seed_and_on_nothing_else(make_policy):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = lora.export(make_policy(b_std=0, seed=7))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert lora.export(make_policy(b_std=0, seed=7)).hash == first.hash
    other = lora.export(make_policy(b_std=0, seed=8))
    a_names = [name for name in first.tensors if ".lora_A." in name]
    assert all(not torch.equal(first.tensors[name], other.tensors[name]) for name in a_names)
    assert not any(tensor.any() for name, tensor in first.tensors.items() if name not in a_names)


DENSE = Qwen3Config(
    vocab_size=50,
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=16,
    intermediate_size=32,
)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"targets": "experts"}, "lora.targets=experts: qwen3 is a dense model"),
        ({"train_router": True}, "lora.train_router=true: qwen3 is a dense model"),
    ],
)
def test_a_dense_model_is_refused_where_experts_are_asked_for(settings, reason):
    with pytest.raises(ConfigError, match=reason):
        lora.attach(AutoModelForCausalLM.from_config(DENSE), LoraSettings(rank=2, **settings), seed=0)


@pytest.mark.parametrize(("targets", "parts"), [("attention", {"attention"}), ("all", {"attention", "mlp"})])
def test_a_dense_model_takes_an_adapter(targets, parts):
    model = lora.attach(AutoModelForCausalLM.from_config(DENSE), LoraSettings(rank=2, targets=targets), seed=0)
    assert {target.part for target in lora.targets(model)} == parts


PARTS = {"attention": {"attention"}, "experts": {"experts"}, "both": {"attention", "experts"}, "none": set()}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_only_parts_equals_zeroing_the_other_part(make_policy, parts):
    model, zeroed = make_policy(), make_policy()
    keys = [f"{target.key}.lora_B.weight" for target in lora.targets(model) if target.part not in parts]
    tensors = lora.export(model).tensors
    lora.load(zeroed, {**tensors, **{key: torch.zeros_like(tensors[key]) for key in keys}})
    with lora.only_parts(model, frozenset(parts)):
        assert_close(logits(model), logits(zeroed), atol=1e-6, rtol=0)
    assert ((logits(model) - logits(zeroed)).abs().mean() > 1e-2) == (len(parts) < 2)


def test_only_parts_gives_the_adapter_back_after_an_error(make_policy):
    model = make_policy()
    whole = logits(model)
    with pytest.raises(KeyboardInterrupt), lora.only_parts(model, frozenset()):
        raise KeyboardInterrupt
    assert torch.equal(logits(model), whole)
