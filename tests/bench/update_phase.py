"""The update phase of a step: our learner and TRL's trainer on the same completions, and each of our savings by itself.

Completions have the lengths of GSM8K (prompts of about 100 tokens, completions of about 130, ragged), in groups of 16,
a quarter of them without spread; float32, the same adapter on attention and experts. TRL runs through its own `train`,
its completions given by its `rollout_func`: what is timed is its training step. Memory is the peak of a process of its
own beyond what it held before the first step.
"""

import argparse
import json
import os
import pickle
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # of `rollout_func`

import torch
from sizes import NUM_GROUPS, prompt_length, vocabulary
from support.rollouts import SAMPLING, make_completion, make_group

from doubleback.rl.config import LoraSettings, OptimConfig, SamplingConfig
from doubleback.rl.learner.batching import assign, make_batch
from doubleback.rl.learner.learner import Learner
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import load_base, load_tokenizer
from doubleback.rl.types import ModelSource

clock = time.perf_counter
GROUP_SIZE, MAX_TOKENS = 16, 320
ALL, SIGNAL = {"drop_zero_variance": False}, {}
PADDED = {"microbatch_tokens": 8192, "logits_mib": 1 << 20, "pack": False, "share_prompts": False}
PACKED = {"microbatch_tokens": 4096, "logits_mib": 1 << 20, "share_prompts": False}
SHARED = {"microbatch_tokens": 2560, "logits_mib": 1 << 20}
CHUNKED = {"microbatch_tokens": 2560, "logits_mib": 32}
VARIANTS = {
    "TRL": None,
    "padded, PEFT's experts": ("peft", ALL, PADDED),
    "+ experts apart": ("grouped", ALL, PADDED),
    "+ packed": ("grouped", ALL, PACKED),
    "+ prompts shared": ("grouped", ALL, SHARED),
    "+ logits in chunks": ("grouped", ALL, CHUNKED),
    "+ flat groups skipped": ("grouped", SIGNAL, CHUNKED),
    "+ checkpointed": ("grouped", SIGNAL, {**CHUNKED, "gradient_checkpointing": True}),
}
"""Name -> lora.expert_compute, keys of algorithm, keys of optim. A microbatch is about one group, as it is in TRL."""


def make_groups(size: str) -> list:
    """Scored groups with the lengths of GSM8K; every fourth has no spread."""
    rng, groups, words = random.Random(0), [], vocabulary(size)
    for index in range(NUM_GROUPS[size]):
        prompt = [rng.randrange(3, words) for _ in range(prompt_length(rng))]
        completions = []
        for _ in range(GROUP_SIZE):
            length = int(min(MAX_TOKENS, max(20, rng.lognormvariate(4.75, 0.5))))
            ids = [rng.randrange(3, words) for _ in range(length)]
            completions.append(make_completion(ids, [-6.0] * length, "stop"))
        values = [float(number % 2 and index % 4 < 3) for number in range(GROUP_SIZE)]
        groups.append(make_group(prompt, completions, values))
    return groups


class Ours:
    """Our learner, one `update` a step."""

    def __init__(self, model: str, groups: list, compute: str, algorithm: dict, optim: dict) -> None:
        base = load_base(ModelSource(model, "float32", 512))
        settings = LoraSettings(rank=16, expert_rank=16, alpha=32.0, expert_compute=compute)
        keys = AlgorithmConfig(importance_cap=None, **algorithm)
        adapted = lora.attach(base, settings, seed=0)
        self._learner = Learner(adapted, keys, OptimConfig(lr=1e-5, **optim), SAMPLING)
        self._batch = make_batch(assign(groups, keys), keys, SamplingConfig(max_tokens=MAX_TOKENS))

    def step(self) -> float:
        start = clock()
        self._learner.update(self._batch)
        return clock() - start


class Theirs:
    """TRL's trainer; its microbatch is one group."""

    def __init__(self, model: str, groups: list) -> None:
        from datasets import Dataset
        from transformers import PrinterCallback
        from trl import GRPOConfig, GRPOTrainer

        completions = [completion for group in groups for completion in group.completions]
        rollout = {
            "prompt_ids": [list(group.prompt_ids) for group in groups for _ in group.completions],
            "completion_ids": [list(completion.token_ids) for completion in completions],
            "logprobs": [list(completion.sampler_logprobs) for completion in completions],
        }
        values = {row.completion.token_ids: row.score.value for group in groups for row in group.rows()}
        base = load_base(ModelSource(model, "float32", 512))
        arguments = GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            report_to="none",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=len(groups[0].completions),
            gradient_accumulation_steps=len(groups),
            num_generations=len(groups[0].completions),
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
            model=lora.attach(base, LoraSettings(rank=16, expert_rank=16, alpha=32.0, expert_compute="peft"), seed=0),
            reward_funcs=lambda completion_ids, **_: [values[tuple(ids)] for ids in completion_ids],
            args=arguments,
            train_dataset=Dataset.from_dict({"prompt": [group.problem.prompt for group in groups]}),
            processing_class=load_tokenizer(model),
            rollout_func=lambda prompts, trainer: rollout,
        )
        self._trainer.remove_callback(PrinterCallback)

    def step(self) -> float:
        from transformers import TrainerCallback

        seconds: list[float] = []

        class Clock(TrainerCallback):
            def on_step_begin(self, args, state, control, **kwargs):
                self.start = clock()

            def on_step_end(self, args, state, control, **kwargs):
                seconds.append(clock() - self.start)
                control.should_training_stop = True

        callback = Clock()
        self._trainer.add_callback(callback)
        self._trainer.train()
        self._trainer.remove_callback(callback)
        return seconds[0]


def make(settings: tuple | None, model: str, groups: list):
    return Theirs(model, groups) if settings is None else Ours(model, groups, *settings)


def measure(size: str, model: str, groups: list, repeats: int, threads: int, variants: dict = VARIANTS) -> list[dict]:
    """One row for each variant, alternating; medians of `repeats` after a warm-up."""
    tokens = sum(len(completion.token_ids) for group in groups for completion in group.completions)
    sides = {variant: make(settings, model, groups) for variant, settings in variants.items()}
    seconds: dict[str, list[float]] = {variant: [] for variant in variants}
    for repeat in range(repeats + 1):
        for variant, side in sides.items():
            taken = side.step()
            if repeat:
                seconds[variant].append(taken)
    medians = {variant: statistics.median(values) for variant, values in seconds.items()}
    return [
        {
            "model": size,
            "what": variant,
            "update_tokens_per_s": tokens / medians[variant],
            "update_s": medians[variant],
            "peak_mib": peak_mib(settings, model, groups, threads),
        }
        for variant, settings in variants.items()
    ]


def peak_mib(settings: tuple | None, model: str, groups: list, threads: int) -> float:
    """In a fresh process."""
    command = [sys.executable, __file__, model, str(threads)]
    given = pickle.dumps((settings, groups))
    return float(subprocess.run(command, check=True, input=given, capture_output=True).stdout.splitlines()[-1])


def print_memory(model: str, settings: tuple | None, groups: list) -> None:
    side = make(settings, model, groups)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of loading
    before = resident("VmRSS")
    side.step()
    print(json.dumps((resident("VmHWM") - before) / (1 << 20)))


def resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Peak memory of a step, whose settings and groups come on stdin.")
    for name in ("model", "threads"):
        parser.add_argument(name)
    options = parser.parse_args()
    torch.set_num_threads(int(options.threads))
    print_memory(options.model, *pickle.load(sys.stdin.buffer))
