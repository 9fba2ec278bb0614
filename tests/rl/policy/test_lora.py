"""The adapter: what carries it, what it adds to the base, and how it is copied, hashed, saved and silenced."""

import json

import pytest
import torch
from peft import PeftModel
from support.models.policies import logits, randomised
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, Qwen3Config

from doubleback.rewards.types import ConfigError
from doubleback.rl.config import LoraSettings
from doubleback.rl.policy import families, lora, merging
from doubleback.rl.policy.base import base_tensors, load_base
from doubleback.rl.types import ModelSource

TARGETS = pytest.mark.parametrize("targets", ["attention", "experts", "all"])
DTYPES = pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
PINNED_HASH = "ce4bb2e2eb21cf46633a6cc46390041c775867e9f7b37b41a290bac5d78dff6e"


@pytest.fixture
def tiny_base(tiny_model_folder):
    return load_base(ModelSource(str(tiny_model_folder), "float32", 256))


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


class Backwards(set):
    """A set whose order is not that of its names, as that of a set of texts is in most processes."""

    def __iter__(self):
        return iter(sorted(super().__iter__(), reverse=True))


def test_names_are_saved_in_an_order_that_no_process_chooses(make_policy, tmp_path):
    model = make_policy()
    config = model.peft_config["default"]
    names = sorted(config.target_modules)
    config.target_modules = Backwards(names)
    lora.save(model, tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["target_modules"] == names
    assert len(names) > 1


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
