"""Which way an adapter takes into the engine, and that the layout which vLLM loads is the same adapter."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file
from support.models.families import make_family_model
from torch.testing import assert_close

from doubleback.rewards.types import ConfigError
from doubleback.rl.config import LoraSettings
from doubleback.rl.engines.delivery import RANKS, choose, runtime_tensors, write_runtime_adapter
from doubleback.rl.policy import lora, merging
from doubleback.rl.policy.base import load_base
from doubleback.rl.policy.families import FAMILIES, Family, family_of
from doubleback.rl.policy.lora import Target
from doubleback.rl.types import ModelSource


def target(part, rank=8):
    return Target(f"model.layers.0.{part}_proj.weight", "key", part, 1, False, rank, 1.0)


MIXTRAL = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}
QWEN, DEEPSEEK = FAMILIES["qwen3_moe"], FAMILIES["deepseek_v3"]
CHOICES = [
    ("auto", ["attention"], QWEN, "vllm", True, "runtime", "adapter on attention beside the base"),
    (
        "auto",
        ["attention"],
        QWEN,
        "vllm",
        False,
        "merged",
        "on a CPU vLLM gathers an adapter's matrices anew",
    ),
    ("auto", ["attention", "experts"], QWEN, "vllm", False, "merged", "Triton kernels, which a CPU does not have"),
    ("auto", ["attention", "experts", "mlp"], QWEN, "vllm", True, "runtime", "attention and experts and mlp"),
    ("auto", ["attention", "router"], QWEN, "vllm", True, "merged", "no adapter on the router of qwen3_moe"),
    ("auto", ["attention"], DEEPSEEK, "vllm", True, "merged", "no adapter on the attention of deepseek_v3"),
    ("auto", ["attention"], QWEN, "transformers", False, "merged", "engine.name=transformers has merged weights alone"),
    ("auto", ["attention"], QWEN, "vllm", "float32 on CUDA", "merged", "take no float32 on CUDA (model.dtype=float32)"),
    ("merged", ["attention"], QWEN, "vllm", False, "merged", "sync.strategy=merged asks for it"),
    ("runtime", ["attention"], QWEN, "vllm", False, "runtime", "adapter on attention"),
]


@pytest.mark.parametrize(("asked", "parts", "known", "engine", "is_cuda", "name", "reason"), CHOICES)
def test_strategy_and_its_reason(asked, parts, known, engine, is_cuda, name, reason):
    dtype = "bfloat16" if is_cuda is True else "float32"
    found = choose(asked, tuple(target(part) for part in parts), known, engine, bool(is_cuda), dtype)
    assert found.name == name
    assert reason in found.reason


@pytest.mark.parametrize(
    ("parts", "rank", "message"),
    [
        (["experts"], 8, "sync.strategy=runtime: vLLM runs LoRA on experts with Triton"),
        (["attention"], 513, "sync.strategy=runtime: rank 513 exceeds 512"),
    ],
)
def test_a_strategy_that_cannot_be_is_refused(parts, rank, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        choose("runtime", tuple(target(part, rank) for part in parts), QWEN, "vllm", False, "float32")


@pytest.mark.parametrize(("rank", "room"), [(1, 1), (2, 8), (8, 8), (9, 16), (300, 320)])
def test_room_for_the_rank_is_one_that_vllm_takes(rank, room):
    assert choose("runtime", (target("attention", rank),), QWEN, "vllm", False, "float32").max_rank == room
    assert room in RANKS


@pytest.fixture
def adapter_of(tmp_path):
    def build(name, **settings):
        make_family_model(name, tmp_path)
        base = load_base(ModelSource(str(tmp_path), "float32", 128))
        model = lora.attach(base, LoraSettings(rank=4, alpha=8.0, **settings), seed=0)
        generator = torch.Generator().manual_seed(1)
        noise = {k: torch.randn(v.shape, generator=generator) for k, v in lora.export(model).tensors.items()}
        lora.load(model, noise)
        return lora.export(model), family_of(base.config)

    return build


@pytest.mark.parametrize("name", FAMILIES)
def test_runtime_layout_is_the_same_adapter(adapter_of, name):
    """B A of every plain matrix equals the merged delta, expert by expert, gate and up apart."""
    adapter, known = adapter_of(name, expert_rank=2)
    tensors = dict(runtime_tensors(adapter, known))
    products = {
        key.removesuffix(".lora_A.weight").removeprefix(lora.PREFIX): tensors[key.replace("_A", "_B")] @ tensors[key]
        for key in tensors
        if key.endswith("lora_A.weight")
    }
    checked = 0
    for item in adapter.targets:
        delta = merging.delta(adapter, item)
        if item.num_experts == 1:
            expected = {item.parameter.removesuffix(".weight"): delta}
        else:
            owner, _, parameter = item.parameter.rpartition(".")
            delta = delta.transpose(1, 2) if item.is_transposed else delta  # (E, O, I)
            expected = {}
            for expert, matrix in enumerate(delta):
                halves = (matrix[::2], matrix[1::2]) if known.is_interleaved else matrix.chunk(2)
                names = ("gate_proj", "up_proj") if parameter == "gate_up_proj" else ("down_proj",)
                if name == "mixtral":  # vLLM knows its experts by the names of its checkpoint alone
                    owner, names = owner.replace("mlp", "block_sparse_moe"), [MIXTRAL[n] for n in names]
                parts = halves if parameter == "gate_up_proj" else (matrix,)
                expected |= {f"{owner}.{expert}.{n}": part for n, part in zip(names, parts, strict=True)}
        for key, matrix in expected.items():
            assert_close(products[key], matrix, atol=1e-4, rtol=1e-5)
            checked += 1
    assert checked == len(products)


def test_files_are_those_of_an_adapter_with_scaling_one(adapter_of, tmp_path):
    adapter, known = adapter_of("qwen2_moe", expert_rank=2)
    write_runtime_adapter(adapter, known, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["lora_alpha"] == config["r"] == 4
    modules = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert set(config["target_modules"]) == modules
    assert len(load_file(tmp_path / "out" / "adapter_model.safetensors")) == 2 * (2 * 4 + 2 * 8 * 3 + 2 * 3)


def test_an_unknown_family_has_the_usual_names():
    class Config:
        model_type, num_experts = "novel_moe", 8

    assert family_of(Config()) == Family("novel_moe")
    Config.num_experts = 0
    assert family_of(Config()) == Family("novel_moe", experts=(), router="")
