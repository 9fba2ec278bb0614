"""Priming, exactly measured: does a base that never saw a search learn to double back once it has seen some?

    python tests/bench/search/priming.py runs/priming [--seeds 0 1 2] [--steps 60] [--arms right-500 wrong-500 ...]

The base is pre-trained first, where it is not there: on single guesses with a true `yes` or `no` behind them and on
right paths, so that it can check, but has never gone on after a `no` nor gone back (`--base bundled:countdown-optimal`
takes the one that saw right paths alone, and cannot check either). It is fine-tuned on 0, 50 or 500 search traces whose
answers are right, or on 500 whose answers are wrong (`demonstrations.source=search`, `search_wrong`), as long each, and
then trained by GRPO as `countdown` says. It repeats arXiv:2503.01307, where a language model judged what was said, with
an exact meter: the replay of each search. What is there already is not run again, so that it can be stopped.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from rich.table import Table

from doubleback.eval.show.console import Console
from doubleback.recipes import load_recipe, train
from doubleback.rl.run.names import METRICS

MIX = "{optimal: 0.1, guess: 0.9}"
"""What the base is pre-trained on."""
PRIMING = {
    "steps": 100,
    "rollout.prompts_per_step": 32,
    "optim.lr": 3e-3,
    "optim.schedule": "cosine",
    "optim.max_grad_norm": 0.05,
    "eval.every": 100,
}
"""Beside `countdown-sft`: what brings the word `back`, which this base has never written, within reach."""
MEASURES = {"pass@1": "pass@1", "verified_backtrack": "verified backtracks", "mean_tokens": "mean tokens"}


@dataclass(frozen=True, slots=True)
class Arm:
    """What the base sees before reinforcement learning."""

    label: str
    demonstrations: Mapping[str, Any]
    """Keys of `demonstrations`; none: the bare base."""


ARMS = {
    "none": Arm("no priming", {}),
    "right-50": Arm("50 searches, right", {"source": "search", "limit": 50}),
    "right-500": Arm("500 searches, right", {"source": "search", "limit": 500}),
    "wrong-500": Arm("500 searches, wrong", {"source": "search_wrong", "limit": 500}),
}


def base_in(root: Path) -> str:
    """The base that checks and never searches, pre-trained into the folder where it is not there."""
    folder = root / "base"
    if not folder.exists():
        command = [sys.executable, "-m", "doubleback.recipes", "pretrain", "countdown", f"mix={MIX}", "--out", folder]
        subprocess.run(command, check=True)
    return str(folder)


def primed(folder: Path, base: str, arm: Arm, seed: int) -> Path:
    """The run that primed the base."""
    demonstrations = {f"demonstrations.{key}": value for key, value in arm.demonstrations.items()}
    changes = {**PRIMING, **demonstrations, "model.path": base, "seed": seed}
    return finished(load_recipe("countdown-sft", changes), folder)


def finished(recipe: Any, folder: Path) -> Path:
    """The folder of this recipe's run, gone on with or not run again."""
    has_begun = (folder / "recipe.yaml").exists()
    if not has_begun or lines_of(folder)[-1:] == [] or lines_of(folder)[-1]["step"] < recipe.steps:
        train(recipe, folder, resume=has_begun, console=Console(quiet=True))
    return folder


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """What a run measured, step by step."""
    path = folder / METRICS
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def one(root: Path, base: str, name: str, seed: int, steps: int) -> dict[str, list[float]]:
    """Measure -> its values on the test problems before GRPO and after."""
    arm = ARMS[name]
    changes: dict[str, Any] = {"steps": steps, "seed": seed, "model.path": base, "eval.every": 20}
    if arm.demonstrations:
        changes["lora.init"] = str(primed(root / f"{name}-{seed}-primed", base, arm, seed))
    trained = lines_of(finished(load_recipe("countdown", changes), root / f"{name}-{seed}"))
    return {measure: [line[f"eval/test/{measure}"] for line in (trained[0], trained[-1])] for measure in MEASURES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--base", help="another base: a folder, or bundled:NAME")
    options = parser.parse_args()
    base = options.base or base_in(options.root)
    table = Table(title=f"{options.steps} steps of GRPO; mean over seeds {options.seeds}, and each seed")
    for column in ("priming", "measure", "primed", "after GRPO", "each seed"):
        table.add_column(column)
    for name in options.arms:
        found = [one(options.root, base, name, seed, options.steps) for seed in options.seeds]
        for measure, label in MEASURES.items():
            before, after = ([it[measure][place] for it in found] for place in (0, 1))
            each = ", ".join(f"{value:.3f}" for value in after)
            table.add_row(ARMS[name].label, label, f"{mean(before):.3f}", f"{mean(after):.3f}", each)
    Console().print(table)


if __name__ == "__main__":
    main()
