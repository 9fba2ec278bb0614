"""A step of countdown with its two roles split over processes, beside the plain one, side by side.

    PYTHONPATH=tests python tests/bench/scale/split.py [--steps 6] [--repeats 3]

Plain: one process, which samples and learns in turn. Split: two engines and two gradient workers in processes of their
own. Both cut a step into the same shards, so that both must write the same adapter, which is compared. One thread a
process; alternating; medians over the steps but for the first; a machine with two cores that does nothing else.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from doubleback.rl.run.names import checkpoint_folder, checkpoint_steps

RECIPE = (
    *("countdown", "scale.shards=4", "eval.every=1000", "eval.n=1", "eval.k=[1]", "eval.test_problems=1"),
    *("eval.validation_problems=1", "eval.validation_n=1", "checkpoint.every=1000"),
)
WAYS = {"plain": (), "split": ("engine.processes=2", "scale.trainers=2")}
PHASES = ("step", "rollout", "update", "sync", "receipt")


def run(overrides: tuple[str, ...], steps: int, out: Path) -> tuple[str, dict[str, list[float]]]:
    """The adapter's hash, and the seconds of every step but the first, by phase."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "doubleback.recipes", "train", *RECIPE, f"steps={steps}", *overrides]
    subprocess.run([*command, "--out", str(out)], env=environment, stdout=subprocess.DEVNULL, check=True)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    seconds = {phase: [line[f"seconds/{phase}"] for line in lines if line["step"] > 1] for phase in PHASES}
    newest = checkpoint_folder(out, checkpoint_steps(out)[-1]) / "adapter_model.safetensors"
    return hashlib.sha256(newest.read_bytes()).hexdigest(), seconds


def main() -> None:
    """Run both ways in turn, and print their medians and what the split takes of the plain step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    hashes, seconds = set(), {way: {phase: [] for phase in PHASES} for way in WAYS}
    with tempfile.TemporaryDirectory(prefix="doubleback-split-") as folder:
        for repeat in range(options.repeats):
            for way, overrides in WAYS.items():
                adapter, measured = run(overrides, options.steps, Path(folder) / f"{way}-{repeat}")
                hashes.add(adapter)
                for phase in PHASES:
                    seconds[way][phase] += measured[phase]
    for phase in PHASES:
        plain, split = (statistics.median(seconds[way][phase]) for way in WAYS)
        print(f"{phase:8} plain {plain:6.2f} s   split {split:6.2f} s   {split / plain:.2f}")
    if len(hashes) > 1:
        sys.exit(f"the two ways wrote {len(hashes)} adapters")
    print("one adapter, to the bit")


if __name__ == "__main__":
    main()
