"""Whole GRPO steps of one recipe on our trainer and on TRL's: generation, rewards, update, delivery of the adapter.

Each run in a process of its own. TRL generates with transformers, since its vLLM modes cannot take an adapter on a CPU;
ours with vLLM. The learned model plays countdown; the random ones are asked questions with the lengths of GSM8K's, and
their completions end at random. Rewards are random, so that every group has something to learn. Memory is the peak of
the whole process, engine included.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from sizes import NUM_GROUPS, prompt_length

from doubleback.recipes.tasks.countdown.tokenizer import FIRST_NUMBER_ID, VOCABULARY

PHASES = ("rollout", "reward", "update", "sync", "receipt")
NAMES = {
    "speed/rollout_tokens_per_s": "rollout_tokens_per_s",
    "speed/update_tokens_per_s": "update_tokens_per_s",
    "seconds/step": "step_s",
    **{f"seconds/{phase}": f"{phase}_s" for phase in PHASES},
}
EVALUATION = {"n": 1, "k": [1], "test_problems": 1, "validation_problems": 1, "validation_n": 1}


def make_recipe(size: str, model: str, folder: Path) -> str:
    """Name or path of the recipe."""
    if size == "learned":
        return "countdown-random-reward"
    rng = random.Random(0)
    for name, count in (("train", 200), ("test", 20)):
        lengths = [prompt_length(rng) for _ in range(count)]
        questions = [" ".join(rng.choices(VOCABULARY[FIRST_NUMBER_ID:], k=length)) for length in lengths]
        lines = [json.dumps({"question": question, "answer": "3"}) for question in questions]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    task = {"name": "math", "train": str(folder / "train.jsonl"), "test": str(folder / "test.jsonl")}
    recipe = {
        "description": "questions with the lengths of GSM8K's, rewarded at random",
        "steps": 1,
        "model": {"path": model, "max_length": 512},
        "task": {**task, "prompt": "{question}", "validation_problems": 4},
        "reward": {"components": {"random": 1.0, "math": 0.0}},
        "lora": {"rank": 16, "expert_rank": 16, "alpha": 32.0},
        "sampling": {"group_size": 16, "max_tokens": 320},
        "optim": {"lr": 1e-5, "microbatch_tokens": 8192},  # of TRL one group, padded
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return str(path)


def run(trainer: str, recipe: str, model: str, keys: list[str], steps: int, threads: int) -> dict:
    """Medians over the steps but for the first, and the peak memory of the process."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        keys = [*keys, f"trainer={trainer}", f"model.path={model}", f"steps={steps}"]
        keys += [f"eval.{key}={json.dumps(value)}" for key, value in EVALUATION.items()]
        command = [sys.executable, "-m", "doubleback.recipes", "train", recipe, *keys, "--out", str(out)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(errors.decode()[-2000:])
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()][2:]
    medians = {
        ours: statistics.median(line[name] for line in lines) for name, ours in NAMES.items() if name in lines[0]
    }
    speed = statistics.median(line["rollout/tokens"] / line["seconds/step"] for line in lines)
    return {**medians, "step_tokens_per_s": speed, "peak_mib": usage.ru_maxrss / 1024}


def measure(size: str, model: str, repeats: int, steps: int, threads: int) -> list[dict]:
    """One row for each trainer, alternating."""
    with tempfile.TemporaryDirectory() as folder:
        recipe, keys = make_recipe(size, model, Path(folder)), [f"rollout.prompts_per_step={NUM_GROUPS[size]}"]
        runs: dict[str, list[dict]] = {"trl": [], "doubleback": []}
        for _ in range(repeats):
            for trainer, results in runs.items():
                results.append(run(trainer, recipe, model, keys, steps, threads))
    return [
        {
            "model": size,
            "what": {"trl": "TRL, whole step", "doubleback": "ours, whole step"}[trainer],
            **{name: statistics.median(it[name] for it in results) for name in results[0]},
        }
        for trainer, results in runs.items()
    ]
