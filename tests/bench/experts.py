"""Experts with a low-rank adapter: ours (rl.policy.experts) against PEFT's wrapper, side by side, forward and backward.

    python tests/bench/experts.py [--tokens 512 2048 8192] [--repeats 5] [--threads 1]

A random MoE of about 60 M parameters by default; time is the median of the repeats, alternating; memory is the peak of
the process beyond what it held before, each measured in a process of its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from rich.table import Table
from transformers import AutoModelForCausalLM, Qwen3MoeConfig

from doubleback.eval.show.console import Console
from doubleback.rl.config import LoraSettings
from doubleback.rl.policy import lora

MIB = 1 << 20


def make_model(compute: str, options: argparse.Namespace):
    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        vocab_size=512,
        hidden_size=options.hidden,
        num_hidden_layers=options.layers,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=options.hidden // 8,
        num_experts=options.experts,
        num_experts_per_tok=4,
        moe_intermediate_size=options.hidden // 2,
        tie_word_embeddings=True,
    )
    base = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    ranks = {"rank": options.rank, "expert_rank": options.rank, "alpha": 2.0 * options.rank}
    settings = LoraSettings(**ranks, targets="experts", expert_compute=compute)
    return lora.attach(base, settings, seed=0), base.num_parameters()


def step(model, tokens, part):
    """Seconds of one forward and backward pass of the whole model, or of its expert layers alone."""
    generator = torch.Generator().manual_seed(0)
    if part == "model":
        ids = torch.randint(0, 512, (tokens // 64, 64), generator=generator)
        start = time.perf_counter()
        out = model(input_ids=ids, use_cache=False).logits
    else:
        blocks = [layer.mlp for layer in model.get_base_model().model.layers]
        hidden = torch.randn(1, tokens, model.config.hidden_size, generator=generator).requires_grad_()
        start = time.perf_counter()
        out = hidden
        for block in blocks:
            out = out + block(out)
    out.square().mean().backward()
    seconds = time.perf_counter() - start
    model.zero_grad(set_to_none=True)
    return seconds


def measure_memory(options: argparse.Namespace, compute: str, tokens: int, part: str) -> float:
    """Peak MiB beyond the model, in a fresh process."""
    command = [sys.executable, __file__, "--memory-of", compute, "--tokens", str(tokens), "--rank", str(options.rank)]
    command += ["--parts", part]
    command += [f"--{name}={getattr(options, name)}" for name in ("hidden", "layers", "experts", "threads")]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def print_memory(options: argparse.Namespace) -> None:
    model, _ = make_model(options.memory_of, options)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of making the model
    before = resident("VmRSS")
    step(model, options.tokens[0], options.parts[0])
    print(json.dumps((resident("VmHWM") - before) / MIB))


def resident(field: str) -> int:
    """Bytes of memory in use (VmRSS), or the most that was (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def compare(models, options: argparse.Namespace, tokens: int, part: str) -> list[str]:
    seconds: dict[str, list[float]] = {compute: [] for compute in models}
    for repeat in range(options.repeats + 1):
        for compute, (model, _) in models.items():
            taken = step(model, tokens, part)
            if repeat:  # the first warms up
                seconds[compute].append(taken)
    times = [statistics.median(seconds[compute]) for compute in ("peft", "grouped")]
    sizes = [measure_memory(options, compute, tokens, part) for compute in ("peft", "grouped")]
    figures = [f"{times[0]:.3f}", f"{times[1]:.3f}", f"{times[0] / times[1]:.2f}x"]
    return [*figures, f"{sizes[0]:,.0f}", f"{sizes[1]:,.0f}", f"{sizes[0] / sizes[1]:.2f}x"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[512, 2048, 8192])
    for name, default in (
        ("hidden", 512),
        ("layers", 6),
        ("experts", 32),
        ("rank", 16),
        ("repeats", 5),
        ("threads", 1),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--parts", nargs="+", choices=("model", "experts"), default=["model", "experts"])
    parser.add_argument("--memory-of", choices=("peft", "grouped"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        print_memory(options)
        return
    models = {compute: make_model(compute, options) for compute in ("peft", "grouped")}
    size = f"{models['peft'][1] / 1e6:.0f} M parameters"
    table = Table(title=f"{size}, {options.experts} experts, 4 active, rank {options.rank}")
    for column in ("part", "tokens", "PEFT s", "ours s", "faster", "PEFT MiB", "ours MiB", "smaller"):
        table.add_column(column, justify="right")
    for part in options.parts:
        for tokens in options.tokens:
            table.add_row(part, f"{tokens:,}", *compare(models, options, tokens, part))
    Console().print(table)


if __name__ == "__main__":
    main()
