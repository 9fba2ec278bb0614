"""Learning curves of several seeds for each of several settings of one recipe, in one picture and one table.

    for seed in 0 1 2; do
        doubleback train countdown seed=$seed --out runs/doubleback-$seed
        doubleback train countdown seed=$seed trainer=trl --out runs/trl-$seed
    done
    python tests/bench/curves.py runs docs/trainers.png doubleback trl

Reads FOLDER/NAME-SEED for each NAME; draws validation pass@1 by step, each seed thin and the mean thick.
"""

import argparse
import json
import statistics
from pathlib import Path

import yaml
from matplotlib.figure import Figure
from rich.table import Table

from doubleback.eval.show.console import Console

MARKERS = "os^D"


def read(run: Path) -> dict:
    """Task, validation curve, test pass@1 before and after, and median seconds of a step."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    tests = [line["eval/test/pass@1"] for line in lines if "eval/test/pass@1" in line]
    curve = {line["step"]: line["eval/validation/pass@1"] for line in lines if "eval/validation/pass@1" in line}
    seconds = statistics.median(line["seconds/step"] for line in lines if line["step"] > 0)
    task = yaml.safe_load((run / "recipe.yaml").read_text())["task"]["name"]
    return {"task": task, "curve": curve, "before": tests[0], "after": tests[-1], "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("names", nargs="+", metavar="NAME")
    options = parser.parse_args()
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    table = Table(title="held-out pass@1")
    for column in ("setting", "seed", "before", "after", "seconds a step"):
        table.add_column(column, justify="right")
    tasks: set[str] = set()
    for index, name in enumerate(options.names):
        folders = [path for path in sorted(options.folder.glob(f"{name}-*")) if path.is_dir()]
        runs = {path.name.rpartition("-")[2]: read(path) for path in folders}
        for seed, run in runs.items():
            axes.plot(*zip(*run["curve"].items(), strict=True), color=f"C{index}", lw=0.7, alpha=0.6)
            table.add_row(name, seed, f"{run['before']:.3f}", f"{run['after']:.3f}", f"{run['seconds']:.2f}")
        steps = sorted(set.intersection(*(set(run["curve"]) for run in runs.values())))
        means = [statistics.fmean(run["curve"][step] for run in runs.values()) for step in steps]
        tasks |= {run["task"] for run in runs.values()}
        label = f"{name}: mean of {len(runs)} seeds" if len(runs) > 1 else name
        axes.plot(steps, means, color=f"C{index}", marker=MARKERS[index % len(MARKERS)], lw=2, label=label)
    title = f"{', '.join(sorted(tasks))}: {', '.join(options.names)}"
    axes.set(xlabel="step", ylabel="validation pass@1", ylim=(0, 1), title=title)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(options.picture, dpi=120)
    Console().print(table)


if __name__ == "__main__":
    main()
