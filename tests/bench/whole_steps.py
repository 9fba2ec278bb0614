"""Whole GRPO steps of one recipe on our trainer and on TRL's, side by side: generation, rewards, update, sync.

    PYTHONPATH=tests python tests/bench/whole_steps.py [--models learned 10M 50M] [--repeats 2] [--steps 4]

The recipe `countdown-random-reward` (every group carries a signal) with `trainer=doubleback` and `trainer=trl`,
alternating, each run in a process of its own, one thread; medians over all steps but the first of each run. TRL
generates with transformers, since its vLLM modes cannot take an adapter on a CPU; ours with vLLM. The learned model is
the bundled one; 10M and 50M are random, and their completions end at random. Memory is the peak of the whole process.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from families import make_family_model
from rich.console import Console
from rich.table import Table

SIZES = {
    "10M": {"hidden_size": 256, "num_hidden_layers": 6, "num_experts": 16, "moe_intermediate_size": 256},
    "50M": {"hidden_size": 512, "num_hidden_layers": 6, "num_experts": 16, "moe_intermediate_size": 512},
}
MODELS = ("learned", *SIZES)


def make_model(size: str, folder: Path) -> str:
    if size == "learned":
        return "bundled:countdown"
    heads = {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": SIZES[size]["hidden_size"] // 8}
    return str(make_family_model("qwen3_moe", folder / size, **SIZES[size], **heads))


def run(trainer: str, model: str, steps: int, threads: int) -> dict:
    """One run of the recipe in a process of its own: medians over its steps, and its peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        keys = [f"trainer={trainer}", f"model.path={model}", f"steps={steps}", "optim.prompts_per_step=8"]
        keys += ["eval.n=1", "eval.k=[1]", "eval.test_problems=1", "eval.validation_problems=1", "eval.validation_n=1"]
        command = [sys.executable, "-m", "doubleback.recipes", "train", "countdown-random-reward", *keys, "--out", out]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(errors.decode()[-2000:])
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()][2:]
    names = ("seconds/step", "seconds/rollout", "seconds/update", "seconds/sync", "rollout/tokens")
    return {
        **{name: statistics.median(line[name] for line in lines) for name in names if name in lines[0]},
        "peak_mib": usage.ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    table = Table(title="whole steps: 8 problems x 16 completions, medians")
    for column in ("model", "trainer", "s/step", "tokens/s", "x TRL", "rollout s", "update s", "sync s", "peak MiB"):
        table.add_column(column, justify="right")
    for size in options.models:
        model = make_model(size, Path(tempfile.mkdtemp()))
        runs: dict[str, list[dict]] = {"trl": [], "doubleback": []}
        for _ in range(options.repeats):
            for trainer, results in runs.items():
                results.append(run(trainer, model, options.steps, options.threads))
        speeds = {
            trainer: statistics.median(it["rollout/tokens"] / it["seconds/step"] for it in results)
            for trainer, results in runs.items()
        }
        for trainer, results in runs.items():
            median = {name: statistics.median(it[name] for it in results) for name in results[0]}
            parts = [
                f"{median[name]:.2f}" if name in median else ""
                for name in ("seconds/rollout", "seconds/update", "seconds/sync")
            ]
            table.add_row(
                size,
                trainer,
                f"{median['seconds/step']:.2f}",
                f"{speeds[trainer]:,.0f}",
                f"{speeds[trainer] / speeds['trl']:.2f}",
                *parts,
                f"{median['peak_mib']:,.0f}",
            )
        Console(width=120).print(table)


if __name__ == "__main__":
    main()
