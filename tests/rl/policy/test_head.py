"""The LM head in float32 over a base in bfloat16: what it computes, what it leaves alone, and that both sides do it."""

from dataclasses import replace

import pytest
import torch
from support.models.families import make_family_model
from support.models.policies import IDS, logits
from support.rollouts import SAMPLING
from torch import nn
from transformers import AutoModelForCausalLM, Qwen3Config

from doubleback.rewards.settings import validated
from doubleback.rewards.types import ConfigError, Problem
from doubleback.rl.config import LoraSettings, ModelConfig, OptimConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.learner.learner import Learner
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import base_tensors, load_base, load_tokenizer
from doubleback.rl.policy.logprobs import head_in_float32
from doubleback.rl.policy.merged_checkpoint import merge_checkpoint
from doubleback.rl.types import ModelSource

PROBLEMS = [Problem(f"p{target}", f"3 5 7 -> {target}") for target in (22, 15, 36, 8)]
SEEDS = [11, 222, 3333, 44444]
HEADS = {
    "tied": ("qwen3", {"tie_word_embeddings": True}),
    "untied": ("qwen3", {"tie_word_embeddings": False}),
    "experts": ("qwen3_moe", {}),
    "scaled": ("granitemoe", {"logits_scaling": 3.0}),
    "bias": ("phi", {"num_key_value_heads": 2, "intermediate_size": 256}),
}
"""Name -> family of a tiny model, and what of its configuration makes its head."""


def bfloat16(folder, head_dtype="float32"):
    return ModelSource(str(folder), "bfloat16", 128, head_dtype)


@pytest.fixture(params=HEADS)
def folder(request, tmp_path):
    name, changes = HEADS[request.param]
    return make_family_model(name, tmp_path / "model", **changes)


def test_the_logits_are_those_of_the_same_weights_in_float32(folder):
    base = load_base(bfloat16(folder))
    hidden = base.get_decoder()(input_ids=IDS, use_cache=False)[0]
    head = base.get_output_embeddings()
    assert hidden.dtype == head.weight.dtype == torch.bfloat16
    expected = hidden.double() @ head.weight.double().T
    if head.bias is not None:
        assert head.bias.dtype == torch.bfloat16
        expected = expected + head.bias.double()
    expected = expected / getattr(base.config, "logits_scaling", 1.0)
    found = logits(base)
    assert found.dtype == torch.float32
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    rounded = logits(load_base(bfloat16(folder, "bfloat16")))
    assert rounded.dtype == torch.bfloat16
    assert (rounded - expected).abs().max() > 1e-3 * expected.abs().max()


def test_no_parameter_changes(folder):
    plain, changed = load_base(bfloat16(folder, "bfloat16")), load_base(bfloat16(folder))
    before, after = base_tensors(plain), base_tensors(changed)
    assert before.keys() == after.keys()
    assert all(tensor.dtype == torch.bfloat16 and torch.equal(tensor, before[name]) for name, tensor in after.items())
    is_tied = changed.get_output_embeddings().weight is changed.get_input_embeddings().weight
    assert is_tied == bool(plain.config.tie_word_embeddings)


def test_a_base_in_float32_is_left_as_it_is(tiny_model_folder):
    base = load_base(ModelSource(str(tiny_model_folder), "float32", 128))
    assert "forward" not in vars(base.get_output_embeddings())


def test_a_merged_checkpoint_is_in_the_bases_precision(tmp_path):
    folder = make_family_model("qwen3_moe", tmp_path / "model", dtype="bfloat16")
    model = lora.attach(load_base(bfloat16(folder)), LoraSettings(rank=2), seed=0)
    lora.save(model, tmp_path / "adapter")
    merge_checkpoint(str(folder), tmp_path / "adapter", tmp_path / "merged", "bfloat16")
    merged, base = (AutoModelForCausalLM.from_pretrained(path, dtype="auto") for path in (tmp_path / "merged", folder))
    assert {parameter.dtype for parameter in merged.parameters()} == {torch.bfloat16}
    assert [name for name, _ in merged.named_parameters()] == [name for name, _ in base.named_parameters()]


def test_a_head_that_is_no_plain_matrix_is_refused():
    model = AutoModelForCausalLM.from_config(
        Qwen3Config(vocab_size=8, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=1)
    )
    model.set_output_embeddings(nn.Sequential(nn.Linear(32, 8)))
    message = "model.head_dtype=float32: the LM head of this qwen3 model is no plain linear layer but Sequential"
    with pytest.raises(ConfigError, match=f"{message}.*; set model.head_dtype=bfloat16"):
        head_in_float32(model)


def test_a_coarser_head_than_the_base_is_refused():
    with pytest.raises(ConfigError, match=r"model\.head_dtype=bfloat16 is for a base in bfloat16"):
        validated(ModelConfig, {"path": "a", "head_dtype": "bfloat16"})
    source = validated(ModelConfig, {"path": "a", "dtype": "bfloat16", "head_dtype": "bfloat16"}).source("b")
    assert source == ModelSource("b", "bfloat16", 256, "bfloat16")


class Own:
    """An engine that is not ours, which computes its head as `head_dtype` says, or says nothing."""

    def __init__(self, setup, base, tokenizer):
        self._base = base

    def load_adapter(self, adapter, version):
        """Nothing is served."""

    sample = score = load_adapter

    def close(self):
        self._base["closed"] = True


class OwnInFloat32(Own):
    head_dtype = "float32"


@pytest.mark.parametrize(
    ("engine", "dtype", "head_dtype", "other"),
    [
        ("Own", "float32", "float32", None),
        ("Own", "bfloat16", "bfloat16", None),
        ("Own", "bfloat16", "float32", "bfloat16"),
        ("OwnInFloat32", "bfloat16", "float32", None),
        ("OwnInFloat32", "bfloat16", "bfloat16", "float32"),
    ],
)
def test_an_engine_with_another_head_is_refused(engine, dtype, head_dtype, other):
    source = ModelSource("nowhere", dtype, 64, head_dtype)
    setup = replace(EngineConfig(name="transformers").setup(source), engine=f"{__file__}:{engine}")
    base = {}
    if other is None:
        assert type(create_engine(setup, base, None)).__name__ == engine
        return
    with pytest.raises(ConfigError) as caught:
        create_engine(setup, base, None)
    assert str(caught.value) == (
        f"model.head_dtype={head_dtype}: engine.name={__file__}:{engine} computes the logits in {other}, and two sides "
        f"that differ are further apart than either alone; set model.head_dtype={other}"
    )
    assert base == {"closed": True}


@torch.no_grad()
def silence_layers(folder):
    """Write the model anew with layers that add nothing: the hidden states are exact, the head alone rounds."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    for name, parameter in model.named_parameters():
        if ".layers." in name and "norm" not in name:
            parameter.zero_()
    model.save_pretrained(folder)


@pytest.mark.parametrize("name", ["transformers", pytest.param("vllm", marks=pytest.mark.slow)])
def test_both_sides_compute_it(folder, name):
    """With exact hidden states both sides agree as in float32; a head in bfloat16 on one side shows at once."""
    silence_layers(folder)
    source = bfloat16(folder)
    base = load_base(source)
    engine = create_engine(EngineConfig(name=name).setup(source), base_tensors(base), load_tokenizer(source.path))
    groups = engine.sample(PROBLEMS, SAMPLING, SEEDS)
    engine.close()

    def gap(head_dtype):
        model = lora.attach(load_base(replace(source, head_dtype=head_dtype)), LoraSettings(rank=2), seed=0)
        return Learner(model, AlgorithmConfig(), OptimConfig(), SAMPLING).compare(groups, 1.0).gap

    assert engine.head_dtype == "float32"
    assert gap("float32").max_abs < 1e-5
    assert gap("bfloat16").mean_abs > 2e-4
