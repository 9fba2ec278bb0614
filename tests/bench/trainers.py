"""The same recipe on two trainers: learning curves of several seeds in one picture, and what they came to.

    for seed in 0 1 2; do for trainer in doubleback trl; do
        doubleback train countdown seed=$seed trainer=$trainer --out runs/$trainer-$seed
    done; done
    python tests/bench/trainers.py runs docs/trainers.png

Reads FOLDER/TRAINER-SEED; draws validation pass@1 by step, each seed thin and the mean thick.
"""

import json
import statistics
import sys
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

TRAINERS = {"doubleback": ("C0", "o"), "trl": ("C1", "s")}


def read(run: Path) -> dict:
    """Validation curve, test pass@1 before and after, and median seconds of a step."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    tests = [line["eval/test/pass@1"] for line in lines if "eval/test/pass@1" in line]
    curve = {line["step"]: line["eval/validation/pass@1"] for line in lines if "eval/validation/pass@1" in line}
    seconds = statistics.median(line["seconds/step"] for line in lines if line["step"] > 0)
    return {"curve": curve, "before": tests[0], "after": tests[-1], "seconds": seconds}


def main() -> None:
    folder, picture = Path(sys.argv[1]), Path(sys.argv[2])
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    table = Table(title="held-out pass@1")
    for column in ("trainer", "seed", "before", "after", "seconds a step"):
        table.add_column(column, justify="right")
    for trainer, (color, marker) in TRAINERS.items():
        runs = {path.name.rpartition("-")[2]: read(path) for path in sorted(folder.glob(f"{trainer}-*"))}
        for seed, run in runs.items():
            axes.plot(*zip(*run["curve"].items(), strict=True), color=color, lw=0.7, alpha=0.6)
            table.add_row(trainer, seed, f"{run['before']:.3f}", f"{run['after']:.3f}", f"{run['seconds']:.2f}")
        steps = sorted(set.intersection(*(set(run["curve"]) for run in runs.values())))
        means = [statistics.fmean(run["curve"][step] for run in runs.values()) for step in steps]
        axes.plot(steps, means, color=color, marker=marker, lw=2, label=f"{trainer}: mean of {len(runs)} seeds")
    axes.set(xlabel="step", ylabel="validation pass@1", ylim=(0, 1), title="countdown on two trainers")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(picture, dpi=120)
    Console().print(table)


if __name__ == "__main__":
    main()
