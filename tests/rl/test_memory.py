"""The memory estimate: parameters exact, formulas by hand, and one comparison with what a process really took."""

from dataclasses import replace
from math import ceil
from types import SimpleNamespace

import pytest
from support.models.families import make_family_model
from support.paths import ROOT
from transformers import AutoConfig

from doubleback.rl import free_memory
from doubleback.rl.config import LoraSettings, OptimConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.free_memory import cgroup_free, node_free
from doubleback.rl.memory import GIB, Memory, Plan, Sizes, estimate, sampling_cache, sizes, verdict
from doubleback.rl.policy.cache import cache_mib, token_bytes
from doubleback.rl.types import ModelSource

BENCH = ROOT / "tests" / "bench"


SMALL = EngineConfig(kv_cache_mib=64)


def plan_of(dtype="float32", engine=SMALL, step_tokens=100_000, head_dtype="float32", **optim):
    optim = OptimConfig(**{"microbatch_tokens": 1000, **optim})
    settings = LoraSettings(rank=4, alpha=8.0, expert_rank=2)
    return Plan(dtype, settings, optim, engine, "auto", 256, step_tokens, head_dtype)


def made(folder, has_cuda=False, **plan):
    return estimate(AutoConfig.from_pretrained(folder), plan_of(**plan), has_cuda)


def test_every_figure_by_hand(tmp_path):
    """qwen3_moe in tiny: hidden 64, 2 layers, 2 heads of 32, 8 experts of width 32, 2 active, 118 words."""
    memory = made(make_family_model("qwen3_moe", tmp_path))
    # attention 64x64 + 2 * 32x64 + 64x64 + norms 2 * 32; experts 8 * 3 * 32x64; router 8x64; norms 2 * 64
    layer = 4096 + 2 * 2048 + 4096 + 64 + 8 * 3 * 2048 + 512 + 128
    assert memory.num_parameters == 2 * layer + 64 + 2 * 118 * 64
    # rank 4 on (64 + 64), 2 * (64 + 32), (64 + 64); rank 2 on 8 * ((64 + 64) + (32 + 64))
    assert memory.num_adapter == 2 * (4 * (128 + 2 * 96 + 128) + 2 * 8 * (128 + 96))
    assert memory.weights == 4 * memory.num_parameters
    assert memory.kv_cache == 64 << 20
    assert memory.adapter == 12 * memory.num_adapter
    assert memory.gradients == 4 * memory.num_adapter
    assert memory.activations == 4 * 1000 * (2 * (14 * 64 + 8 * 64 + 2 * 2 * 32) + 2 * (3 * 64 + 4 * 32))
    assert memory.logits == 3 * 4 * 1000 * 118
    adapted = 2 * (4096 + 2 * 2048 + 4096 + 8 * 3 * 2048)
    assert memory.merge == 4 * adapted + 2 * 4 * (8 * 64 * 64)
    assert memory.resident == 2 * memory.weights + memory.kv_cache + memory.adapter
    assert memory.peak == max(memory.update, memory.sync)


def test_what_changes_it(tmp_path):
    folder = make_family_model("qwen3_moe", tmp_path)
    plain = made(folder)
    half = made(folder, dtype="bfloat16")
    assert half.weights == plain.weights / 2
    assert half.logits == plain.logits + 4 * 118 * 64  # the head's weight, cast for its product
    assert made(folder, dtype="bfloat16", head_dtype="bfloat16").logits == plain.logits
    assert made(folder, microbatch_tokens=500).activations == plain.activations / 2
    assert made(folder, has_cuda=True, dtype="bfloat16").merge == 0
    assert made(folder, has_cuda=True).merge == plain.merge  # vLLM's kernels for adapters take no float32 there
    several = made(folder, engine=EngineConfig(kv_cache_mib=64, processes=3))
    assert several.resident == plain.resident + 2 * plain.weights
    gpt_oss = make_family_model("gpt_oss", tmp_path / "gpt_oss")  # vLLM serves no adapter on its experts
    assert made(gpt_oss, has_cuda=True).merge == made(gpt_oss).merge > 0
    layer = 14 * 64 + 8 * 64 + 2 * 2 * 32 + 2 * (3 * 64 + 4 * 32)
    assert made(folder, gradient_checkpointing=True).activations == 4 * 1000 * (2 * 64 + layer)
    assert made(folder, microbatch_tokens=1_000_000, logits_mib=10).logits == 3 * (10 << 20)


def test_only_what_can_be_filled_counts(tmp_path):
    """Of 1,000 tokens a step of 300 fills 300; of 4 GiB of cache 256 completions of 256 tokens what they can."""
    folder = make_family_model("qwen3_moe", tmp_path)
    assert made(folder, step_tokens=300) == made(folder, microbatch_tokens=300)
    large = EngineConfig(kv_cache_mib=4096)
    # 2 layers of 2 * 1 head of 32 in float32: 512 bytes a token, 32 MiB in all, so the least
    assert made(folder, engine=large).kv_cache == 256 << 20
    assert made(folder, engine=large, has_cuda=True).kv_cache == 4096 << 20
    assert made(folder, engine=EngineConfig()) == made(folder, engine=EngineConfig(kv_cache_mib=256))


@pytest.mark.parametrize(
    ("keys", "numbers"),
    [
        ({"num_key_value_heads": 2, "head_dim": 32}, 2 * 2 * 32),
        ({"num_key_value_heads": None, "head_dim": None}, 2 * 4 * 16),
        ({"kv_lora_rank": 512, "qk_rope_head_dim": 64}, 512 + 64),
    ],
)
def test_cache_by_hand(keys, numbers):
    shape = SimpleNamespace(num_hidden_layers=3, num_attention_heads=4, hidden_size=64, **keys)
    assert token_bytes(shape, 2) == 3 * numbers * 2
    # 300 tokens are ten blocks of 32; one block is to spare
    assert cache_mib(shape, 2, 1000, 300) == ceil(10_001 * 32 * 6 * numbers / (1 << 20))


AUTO = {"microbatch_tokens": "auto", "engine": EngineConfig()}


def test_sizes_fill_the_room_and_no_more(tmp_path):
    config = AutoConfig.from_pretrained(make_family_model("qwen3_moe", tmp_path))
    plenty = sizes(config, plan_of(**AUTO), False, 10 * GIB, 1.0)
    assert plenty == Sizes(8192, 256)
    few, before, plain = plan_of(**AUTO), 0, estimate(config, plan_of(), False)
    for mib in (20, 40, 80, 160):
        found = sizes(config, few, False, mib << 20, 1.0)
        fixed = 2 * plain.weights + plain.adapter + plain.gradients
        assert found == sizes(config, few, False, fixed + 2 * ((mib << 20) - fixed), 0.5)
        optim = few.optim.model_copy(update={"microbatch_tokens": found.microbatch_tokens})
        filled = replace(few, optim=optim, engine=EngineConfig(kv_cache_mib=found.kv_cache_mib))
        assert before < found.microbatch_tokens <= 8192
        assert found.kv_cache_mib == 16 or estimate(config, filled, True).peak <= mib << 20
        before = found.microbatch_tokens if found.microbatch_tokens < 8192 else 0
    assert sizes(config, few, False, 0, 1.0) == Sizes(256, 16)


def test_a_size_that_is_given_stays(tmp_path):
    config = AutoConfig.from_pretrained(make_family_model("qwen3_moe", tmp_path))
    assert sizes(config, plan_of(microbatch_tokens=99, engine=EngineConfig()), False, 10 * GIB, 0.5) == Sizes(99, 256)
    given = plan_of(microbatch_tokens="auto", engine=EngineConfig(kv_cache_mib=77))
    assert sizes(config, given, False, 10 * GIB, 0.5) == Sizes(8192, 77)
    source = ModelSource("a model", "float32", 256)
    assert sampling_cache(config, EngineConfig(kv_cache_mib=77), source, 0) == 77
    assert sampling_cache(config, EngineConfig(), source, 10 * GIB) == 256
    assert sampling_cache(config, EngineConfig(), source, 0) == 16


def test_free_memory_is_the_least_that_anything_says(tmp_path, monkeypatch):
    node, group = tmp_path / "meminfo", tmp_path / "cgroup"
    assert (node_free(node), cgroup_free(group)) == (None, None)
    node.write_text("Node 0 MemTotal: 900 kB\nNode 0 MemFree: 100 kB\nNode 0 Inactive(file): 20 kB\n")
    assert node_free(node) == 120 << 10
    group.mkdir()
    (group / "memory.max").write_text("max\n")
    assert cgroup_free(group) is None
    (group / "memory.max").write_text("1000\n")
    (group / "memory.current").write_text("700\n")
    (group / "memory.stat").write_text("anon 500\ninactive_file 150\nactive_file 40\n")
    assert cgroup_free(group) == 1000 - 700 + 190
    monkeypatch.setattr(free_memory, "NODE", node)
    monkeypatch.setattr(free_memory, "CGROUP", group)
    monkeypatch.setattr(free_memory, "is_cuda", lambda: False)
    assert free_memory.free_memory() == 490


@pytest.mark.parametrize(
    ("free", "sentence"),
    [
        (8, "fits: 7.0 of 8.0 GiB"),
        (6, "does not fit: 7.0 of 6.0 GiB; lower optim.microbatch_tokens, or set optim.gradient_checkpointing=true"),
        (3, "does not fit: 7.0 of 3.0 GiB; 2 copies of the base, the cache and the adapter alone take 4.0 GiB:"),
    ],
)
def test_verdict(free, sentence):
    memory = Memory(1, 1, GIB, GIB, GIB, 0, 2 * GIB, GIB, 2 * GIB)
    assert verdict(memory, free * GIB).startswith(sentence)


@pytest.mark.slow
def test_the_estimate_is_within_a_factor_of_two_of_the_truth(tmp_path, monkeypatch):
    """The update of a 10 M model in a process of its own, beyond what it held before its first step."""
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.setenv("PYTHONPATH", str(BENCH.parent))
    from sizes import make_model
    from update_phase import VARIANTS, make_groups, peak_mib

    folder = make_model("10M", tmp_path)
    measured = peak_mib(VARIANTS["+ prompts shared"], str(folder), make_groups("10M"), threads=1) * (1 << 20)
    settings = LoraSettings(rank=16, expert_rank=16, alpha=32.0)
    optim = OptimConfig(microbatch_tokens=2560)
    plan = Plan("float32", settings, optim, EngineConfig(), "auto", 256, 100_000)
    memory = estimate(AutoConfig.from_pretrained(folder), plan, has_cuda=False)
    expected = memory.gradients + memory.activations + memory.logits + 8 * memory.num_adapter
    assert 0.5 < measured / expected < 2
    print(f"measured {measured / expected:.2f} of the estimate")


def test_each_gradient_worker_has_a_base_an_adapter_and_a_microbatch_of_its_own(tmp_path):
    config = AutoConfig.from_pretrained(make_family_model("qwen3_moe", tmp_path))
    alone, workers = (estimate(config, replace(plan_of(), num_trainers=count), False) for count in (0, 3))
    assert workers.resident - alone.resident == 3 * (alone.weights + alone.gradients)
    computed = alone.gradients + alone.activations + alone.logits
    assert workers.update - workers.resident == alone.gradients + 3 * computed
