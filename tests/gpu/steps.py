"""GRPO steps at OLMoE-1B-7B's shape, with random weights, on our trainer and on TRL's: what `make gpu-check` measures.

    PYTHONPATH=tests:tests/bench python tests/gpu/steps.py doubleback trl [--tiny] [--steps 3] [--model FOLDER]

Prints a line of JSON for each trainer: medians of the steps but for the first, and the most memory of the device.
Prompts have the lengths of GSM8K's, completions run to their limit (one of 50,304 words ends them), rewards are random.
TRL generates with transformers. The model is written into FOLDER unless it is there. With --tiny, or on a CPU, the same
on two layers of the same architecture.
"""

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers import AutoModelForCausalLM
from whole_steps import EVALUATION, NAMES, make_recipe

from doubleback.eval.show.console import Console
from doubleback.recipes import load_recipe, train
from doubleback.recipes.models.configuration import configuration
from doubleback.recipes.tasks.countdown.tokenizer import make_tokenizer
from doubleback.rl.policy.base import DTYPES, is_cuda
from doubleback.rl.policy.tiny import shrink

MODEL, MAX_LENGTH = "allenai/OLMoE-1B-7B-0125", 512
FULL = {"model.dtype": "bfloat16", "sampling.max_tokens": 256, "rollout.prompts_per_step": 8}
TINY = {"model.dtype": "float32", "sampling.max_tokens": 16, "rollout.prompts_per_step": 2, "sampling.group_size": 4}


def write_model(folder: Path, dtype: str, is_tiny: bool) -> str:
    """The model in `folder`, random weights of the usual size, and a tokenizer whose words are the first ids."""
    if folder.exists():
        return str(folder)
    tokenizer, config = make_tokenizer(MAX_LENGTH), configuration(MODEL)
    if is_tiny:
        config = shrink(config, 2 * len(tokenizer), MAX_LENGTH)
    for key in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(config, key, getattr(tokenizer, key))
    with torch.device("cuda" if is_cuda() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=DTYPES[dtype])
    unfinished = folder.with_suffix(".unfinished")
    model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    return str(unfinished.rename(folder))


def measure(trainer: str, recipe: str, model: str, keys: dict, out: Path) -> dict[str, float]:
    """Medians over the steps but for the first."""
    if is_cuda():
        torch.cuda.reset_peak_memory_stats()
    evaluation = {f"eval.{key}": value for key, value in EVALUATION.items()}
    run = train(
        load_recipe(recipe, {**keys, **evaluation, "trainer": trainer, "model.path": model}), out, console=Console()
    )
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()][2:]
    figures = {
        ours: statistics.median(line[name] for line in lines) for name, ours in NAMES.items() if name in lines[0]
    }
    figures["step_tokens_per_s"] = statistics.median(line["rollout/tokens"] / line["seconds/step"] for line in lines)
    if is_cuda():
        figures["peak_mib"] = torch.cuda.max_memory_allocated() / (1 << 20)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trainers", nargs="+", choices=("doubleback", "trl"))
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--steps", type=int, default=3)
    options = parser.parse_args()
    is_tiny = options.tiny or not is_cuda()
    keys = {**(TINY if is_tiny else FULL), "steps": options.steps}
    with tempfile.TemporaryDirectory() as folder:
        model = write_model(options.model or Path(folder, "model"), keys["model.dtype"], is_tiny)
        recipe = make_recipe("random", model, Path(folder))
        for trainer in options.trainers:
            print(
                json.dumps({"trainer": trainer, **measure(trainer, recipe, model, keys, Path(folder, trainer))}),
                flush=True,
            )


if __name__ == "__main__":
    main()
