"""The update phase of one GRPO step, doubleback and TRL side by side, and each of our savings by itself.

    PYTHONPATH=tests python tests/bench/step.py [--models tiny 10M 50M] [--repeats 3] [--picture docs/update.png]

Both learn from the same completions with the lengths of GSM8K (prompts of about 100 tokens, completions of about 130,
ragged), groups of 16, float32, the same adapter on attention and experts, one thread, alternating; figures are medians.
TRL runs through its own `train`, its completions given by its `rollout_func`: what is timed is its whole training step.
Memory is the peak of a process of its own beyond what it held before the first step.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from rich.console import Console
from rich.table import Table
from rollouts import make_completion, make_group
from tiny_text import make_text_model

from doubleback.rl import lora
from doubleback.rl.algorithm import AlgorithmConfig
from doubleback.rl.batching import assign, make_batch
from doubleback.rl.config import LoraSettings, ModelConfig, OptimConfig, SamplingConfig
from doubleback.rl.learner import Learner
from doubleback.rl.model import load_base, load_tokenizer

SIZES = {
    "tiny": {"hidden_size": 128, "num_hidden_layers": 2, "num_experts": 8, "groups": 8},
    "10M": {"hidden_size": 256, "num_hidden_layers": 6, "num_experts": 16, "groups": 4},
    "50M": {"hidden_size": 512, "num_hidden_layers": 6, "num_experts": 16, "groups": 2},
}
GROUP_SIZE, MAX_TOKENS, VOCABULARY = 16, 320, 1000
PADDED = {"pack": False, "share_prompts": False}
VARIANTS = {
    "TRL": None,
    "padded, PEFT's experts": ("peft", PADDED),
    "+ experts apart": ("grouped", PADDED),
    "+ packed": ("grouped", {"share_prompts": False}),
    "+ prompts shared": ("grouped", {}),
    "+ checkpointed": ("grouped", {"gradient_checkpointing": True}),
}
"""Name -> (lora.expert_compute, keys of optim)."""


def make_model(size: str, folder: Path) -> Path:
    options = {key: value for key, value in SIZES[size].items() if key != "groups"}
    hidden = options["hidden_size"]
    options |= {"moe_intermediate_size": hidden, "num_attention_heads": 8, "num_key_value_heads": 4}
    options |= {"head_dim": hidden // 8, "vocab_size": VOCABULARY}
    return make_text_model(folder, ["a b c"], **options)


def make_groups(count: int, vocabulary: int) -> list:
    """Scored groups with the lengths of GSM8K; every group carries a signal."""
    rng, groups = random.Random(0), []
    for _ in range(count):
        prompt = [rng.randrange(3, vocabulary) for _ in range(int(min(250, rng.lognormvariate(4.5, 0.4))))]
        completions = []
        for _ in range(GROUP_SIZE):
            length = int(min(MAX_TOKENS, max(20, rng.lognormvariate(4.75, 0.5))))
            completions.append(
                make_completion([rng.randrange(3, vocabulary) for _ in range(length)], [-6.0] * length, "stop")
            )
        groups.append(make_group(prompt, completions, [float(number % 2) for number in range(GROUP_SIZE)]))
    return groups


class Ours:
    """Our learner, one `update` a step."""

    def __init__(self, folder: Path, groups: list, compute: str, options: dict) -> None:
        base = load_base(ModelConfig(path=str(folder), max_length=1024))
        settings = LoraSettings(rank=16, alpha=32.0, expert_compute=compute)
        algorithm = AlgorithmConfig(importance_cap=None)
        model = lora.attach(base, settings, seed=0)
        self._learner = Learner(model, algorithm, OptimConfig(lr=1e-5, microbatch_tokens=4096, **options))
        self._batch = make_batch(assign(groups, algorithm), algorithm, SamplingConfig(max_tokens=MAX_TOKENS))

    def step(self) -> float:
        start = time.perf_counter()
        self._learner.update(self._batch)
        return time.perf_counter() - start


class Theirs:
    """TRL's trainer; its microbatch is one group."""

    def __init__(self, folder: Path, groups: list) -> None:
        from datasets import Dataset
        from trl import GRPOConfig, GRPOTrainer

        base = load_base(ModelConfig(path=str(folder), max_length=1024))
        completions = [completion for group in groups for completion in group.completions]
        rollout = {
            "prompt_ids": [list(group.prompt_ids) for group in groups for _ in group.completions],
            "completion_ids": [list(completion.token_ids) for completion in completions],
            "logprobs": [list(completion.sampler_logprobs) for completion in completions],
        }
        values = {completion.token_ids: float(number % 2) for number, completion in enumerate(completions)}
        settings = lora.attach(base, LoraSettings(rank=16, alpha=32.0, expert_compute="peft"), seed=0).peft_config
        arguments = GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            report_to="none",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=GROUP_SIZE,
            gradient_accumulation_steps=len(groups),
            num_generations=GROUP_SIZE,
            max_completion_length=MAX_TOKENS,
            loss_type="dr_grpo",
            scale_rewards="none",
            learning_rate=1e-5,
            router_aux_loss_coef=0.0,
            max_steps=1_000_000,
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        self._trainer = GRPOTrainer(
            model=load_base(ModelConfig(path=str(folder), max_length=1024)),
            reward_funcs=lambda completion_ids, **_: [values[tuple(ids)] for ids in completion_ids],
            args=arguments,
            train_dataset=Dataset.from_dict({"prompt": [group.problem.prompt for group in groups]}),
            processing_class=load_tokenizer(str(folder)),
            peft_config=settings["default"],
            rollout_func=lambda prompts, trainer: rollout,
        )

    def steps(self, count: int) -> list[float]:
        """Seconds of `count` steps."""
        from transformers import TrainerCallback

        seconds: list[float] = []

        class Clock(TrainerCallback):
            def on_step_begin(self, args, state, control, **kwargs):
                self.start = time.perf_counter()

            def on_step_end(self, args, state, control, **kwargs):
                seconds.append(time.perf_counter() - self.start)
                control.should_training_stop = len(seconds) >= count

        clock = Clock()
        self._trainer.add_callback(clock)
        self._trainer.train()
        self._trainer.remove_callback(clock)
        return seconds

    def step(self) -> float:
        return self.steps(1)[0]


def make(variant: str, folder: Path, groups: list):
    settings = VARIANTS[variant]
    return Theirs(folder, groups) if settings is None else Ours(folder, groups, *settings)


def peak_mib(variant: str, folder: Path, size: str) -> float:
    """In a fresh process."""
    command = [sys.executable, __file__, "--memory-of", variant, "--folder", str(folder), "--models", size]
    return float(
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    )


def print_memory(variant: str, folder: Path, size: str) -> None:
    side = make(variant, folder, make_groups(SIZES[size]["groups"], VOCABULARY))
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of loading
    before = resident("VmRSS")
    side.step()
    print(json.dumps((resident("VmHWM") - before) / (1 << 20)))


def resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def measure(size: str, folder: Path, repeats: int) -> list[dict]:
    groups = make_groups(SIZES[size]["groups"], VOCABULARY)
    tokens = sum(len(completion.token_ids) for group in groups for completion in group.completions)
    sides = {variant: make(variant, folder, groups) for variant in VARIANTS}
    seconds: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for repeat in range(repeats + 1):
        for variant, side in sides.items():
            taken = side.step()
            if repeat:  # the first warms up
                seconds[variant].append(taken)
    return [
        {
            "model": size,
            "variant": variant,
            "seconds": statistics.median(seconds[variant]),
            "tokens_per_s": tokens / statistics.median(seconds[variant]),
            "peak_mib": peak_mib(variant, folder, size),
        }
        for variant in VARIANTS
    ]


def show(rows: list[dict]) -> None:
    table = Table(title=f"update phase: completion tokens learned per second, groups of {GROUP_SIZE}")
    for column in ("model", "variant", "s/step", "tokens/s", "x TRL", "peak MiB", "of TRL's"):
        table.add_column(column, justify="left" if column == "variant" else "right")
    for row in rows:
        trl = next(it for it in rows if it["model"] == row["model"] and it["variant"] == "TRL")
        table.add_row(
            row["model"],
            row["variant"],
            f"{row['seconds']:.2f}",
            f"{row['tokens_per_s']:,.0f}",
            f"{row['tokens_per_s'] / trl['tokens_per_s']:.2f}",
            f"{row['peak_mib']:,.0f}",
            f"{row['peak_mib'] / trl['peak_mib']:.2f}",
        )
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--memory-of", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        print_memory(options.memory_of, options.folder, options.models[0])
        return
    rows = []
    for size in options.models:
        folder = make_model(size, Path(tempfile.mkdtemp()))
        rows += measure(size, folder, options.repeats)
        show(rows)
    if options.picture:
        draw(rows, options.picture)


def draw(rows: list[dict], path: Path) -> None:
    """Bars: tokens a second as a multiple of TRL's, model by model."""
    import matplotlib.pyplot as plt

    models = list(dict.fromkeys(row["model"] for row in rows))
    figure, axes = plt.subplots(1, len(models), figsize=(4 * len(models), 3.2), sharey=True, layout="constrained")
    for axis, model in zip(axes if len(models) > 1 else [axes], models, strict=True):
        mine = [row for row in rows if row["model"] == model]
        base = mine[0]["tokens_per_s"]
        axis.barh([row["variant"] for row in mine], [row["tokens_per_s"] / base for row in mine], color="tab:blue")
        axis.invert_yaxis()
        axis.axvline(1, color="gray", linewidth=0.8)
        axis.set_title(f"{model} parameters" if model != "tiny" else "tiny model")
        axis.set_xlabel("update tokens/s, times TRL's")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
