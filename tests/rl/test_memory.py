"""The memory estimate: parameters exact, formulas by hand, and one comparison with what a process really took."""

import json
import os
import subprocess
import sys

import pytest
from support.models.families import make_family_model
from support.paths import ROOT
from transformers import AutoConfig

from doubleback.rl.config import LoraSettings, OptimConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.memory import GIB, Memory, Plan, estimate, verdict

BENCH = ROOT / "tests" / "bench"


def made(folder, dtype="float32", has_cuda=False, **optim):
    optim = OptimConfig(**{"microbatch_tokens": 1000, **optim})
    settings = LoraSettings(rank=4, alpha=8.0, expert_rank=2)
    engine = EngineConfig(kv_cache_mib=64)
    return estimate(AutoConfig.from_pretrained(folder), Plan(dtype, settings, optim, engine, "auto"), has_cuda)


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
    assert made(folder, dtype="bfloat16").weights == plain.weights / 2
    assert made(folder, microbatch_tokens=500).activations == plain.activations / 2
    assert made(folder, has_cuda=True).merge == 0
    gpt_oss = make_family_model("gpt_oss", tmp_path / "gpt_oss")  # vLLM serves no adapter on its experts
    assert made(gpt_oss, has_cuda=True).merge == made(gpt_oss).merge > 0
    layer = 14 * 64 + 8 * 64 + 2 * 2 * 32 + 2 * (3 * 64 + 4 * 32)
    assert made(folder, gradient_checkpointing=True).activations == 4 * 1000 * (2 * 64 + layer)
    assert made(folder, microbatch_tokens=1_000_000, logits_mib=10).logits == 3 * (10 << 20)


@pytest.mark.parametrize(
    ("free", "sentence"),
    [
        (8, "fits: 7.0 of 8.0 GiB"),
        (6, "does not fit: 7.0 of 6.0 GiB; lower optim.microbatch_tokens, or set optim.gradient_checkpointing=true"),
        (3, "does not fit: 7.0 of 3.0 GiB; two copies of the base, the cache and the adapter alone take 4.0 GiB:"),
    ],
)
def test_verdict(free, sentence):
    memory = Memory(1, 1, GIB, GIB, GIB, 0, 2 * GIB, GIB, 2 * GIB)
    assert verdict(memory, free * GIB).startswith(sentence)


@pytest.mark.slow
def test_the_estimate_is_within_a_factor_of_two_of_the_truth(tmp_path):
    """The update of a 10 M model in a process of its own, beyond what it held before its first step."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(BENCH.parent)}
    sys.path.insert(0, str(BENCH))
    from sizes import make_model

    folder = make_model("10M", tmp_path)
    command = [sys.executable, BENCH / "update_phase.py", "+ prompts shared", folder, "10M", "1"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    measured = float(json.loads(done.stdout.splitlines()[-1])) * (1 << 20)
    settings = LoraSettings(rank=16, alpha=32.0)
    optim = OptimConfig(microbatch_tokens=2560)
    plan = Plan("float32", settings, optim, EngineConfig(), "auto")
    memory = estimate(AutoConfig.from_pretrained(folder), plan, has_cuda=False)
    expected = memory.gradients + memory.activations + memory.logits + 8 * memory.num_adapter
    assert 0.5 < measured / expected < 2
    print(f"measured {measured / expected:.2f} of the estimate")
