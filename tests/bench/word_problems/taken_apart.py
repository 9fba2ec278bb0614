"""What runs of one recipe with several seeds have learned, by the measures of its task, as a table in Markdown.

    for seed in 0 1 2; do
        doubleback train word-problems model.path=models/SmolLM2-135M-Instruct seed=$seed --out runs/one-step-$seed
    done
    python tests/bench/word_problems/taken_apart.py runs/one-step-0 runs/one-step-1 runs/one-step-2 --by unseen

Held-out problems before and after the first run, with 95 % intervals over problems, and the values of the others after
theirs. `--by COLUMN` gives pass@1 for each value of a column of the problems besides.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from doubleback.eval.show.tables import labels
from doubleback.eval.statistics.intervals import interval
from doubleback.eval.summarise import as_json, by_problem
from doubleback.recipes.recipe.results import Run
from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.sample_lines import is_correct
from doubleback.rl.run.names import EVALUATIONS, SAMPLES_END

Estimates = dict[str, Mapping[str, float | None]]


def measured(run: Run, name: str, column: str | None) -> Estimates:
    """Label -> estimate of one evaluation: pass@k of the least and the largest k, by `column`, and the measures."""
    summary = run.evaluations()[name]
    ks = sorted(map(int, summary["pass_at_k"]))
    curve = {f"pass@{k}": summary["pass_at_k"][str(k)] for k in dict.fromkeys((ks[0], ks[-1]))}
    apart = {} if column is None else pass_by(run, name, column)
    return curve | apart | {label: summary[measure] for measure, label in labels(summary).items()}


def pass_by(run: Run, name: str, column: str) -> Estimates:
    """pass@1 for each value of a column of the problems, of which every one has as many samples."""
    columns = {problem["id"]: problem["columns"] for problem in run.problems().to_pylist()}
    rates: dict[Any, list[float]] = {}
    for lines in by_problem(complete_lines(run.path / EVALUATIONS / f"{name}{SAMPLES_END}")):
        rates.setdefault(columns[lines[0]["problem"]][column], []).append(fmean(map(is_correct, lines)))
    return {f"pass@1, {column}: {value}": as_json(interval(rates[value], is_single=False)) for value in sorted(rates)}


def with_interval(estimate: Mapping[str, float | None], digits: int) -> str:
    """`0.198 [0.154, 0.244]`."""
    value, low, high = (f"{estimate[name]:.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def table(runs: Sequence[Run], column: str | None) -> list[str]:
    """The lines of the table; a measure that is undefined before or after has none."""
    tests = [[name for name in run.evaluations() if name.startswith("test-")] for run in runs]
    before = [measured(run, names[0], column) for run, names in zip(runs, tests, strict=True)]
    after = [measured(run, names[-1], column) for run, names in zip(runs, tests, strict=True)]
    columns = ["before", "after", *(f"after, {run.path.name}" for run in runs[1:])]
    lines = [f"| measure | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for label in before[0]:
        if any(estimates[label]["value"] is None for estimates in (before[0], *after)):
            continue
        digits = 1 if label == "mean tokens" else 3
        cells = [with_interval(estimates[label], digits) for estimates in (before[0], after[0])]
        cells += [f"{estimates[label]['value']:.{digits}f}" for estimates in after[1:]]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    starts = ", ".join(f"{estimates['pass@1']['value']:.3f}" for estimates in before)
    return [*lines, "", f"pass@1 before, run by run: {starts}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--by", metavar="COLUMN", help="a column of the problems")
    options = parser.parse_args()
    print("\n".join(table([Run(run) for run in options.runs], options.by)))


if __name__ == "__main__":
    main()
