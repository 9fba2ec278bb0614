"""GRPO steps of doubleback and TRL side by side: whole steps, and the update phase with each of our savings by itself.

    PYTHONPATH=tests python tests/bench/step.py [--models learned 10M 50M] [--repeats 3] [--picture docs/step.png]

    PYTHONPATH=tests python tests/bench/step.py --model models/SmolLM2-135M-Instruct

One thread, alternating, medians; a machine that does nothing else. See `whole_steps` and `update_phase` for what is
run. Prints a table that grows with every model, and the same as Markdown at the end. With --model a step of the recipe
word-problems on that model instead, part by part: see `real_model`.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import update_phase
import whole_steps
from matplotlib.figure import Figure
from rich.table import Table
from sizes import SIZES, make_model

from doubleback.eval.show.console import Console

COLUMNS = (
    "rollout tokens/s",
    "update tokens/s",
    "x TRL",
    "step s",
    "tokens/s",
    "x TRL",
    "sync s",
    "peak MiB",
    "of TRL's",
)


def cells(row: dict, rows: list[dict]) -> list[str]:
    """A row of the table. Ratios are to the first row of the same kind and model, which is TRL's."""
    trl = next(it for it in rows if it["model"] == row["model"] and ("step_s" in it) == ("step_s" in row))

    def ratio(name: str) -> str:
        return f"{row[name] / trl[name]:.2f}" if name in row else ""

    def number(name: str, digits: int = 0) -> str:
        return f"{row[name]:,.{digits}f}" if name in row else ""

    return [
        row["model"],
        row["what"],
        number("rollout_tokens_per_s"),
        number("update_tokens_per_s"),
        ratio("update_tokens_per_s"),
        number("step_s", 2),
        number("step_tokens_per_s"),
        ratio("step_tokens_per_s"),
        number("sync_s", 2),
        number("peak_mib"),
        ratio("peak_mib"),
    ]


def show(rows: list[dict]) -> None:
    table = Table(title=f"doubleback and TRL, groups of {update_phase.GROUP_SIZE}")
    for column in ("model", "what", *COLUMNS):
        table.add_column(column, justify="left" if column == "what" else "right")
    for row in rows:
        table.add_row(*cells(row, rows))
    Console(width=150).print(table)


def markdown(rows: list[dict]) -> str:
    lines = [("model", "what", *COLUMNS), ("---",) * (2 + len(COLUMNS)), *(cells(row, rows) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def draw(rows: list[dict], path: Path) -> None:
    """Bars, model by model: whole steps and updates, tokens a second as a multiple of TRL's."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    figure = Figure(figsize=(3.4 * len(models), 3.6), layout="constrained")
    for axes, model in zip(figure.subplots(1, len(models), sharey=True, squeeze=False)[0], models, strict=True):
        mine = [row for row in rows if row["model"] == model]
        for name, color in (("step_tokens_per_s", "tab:orange"), ("update_tokens_per_s", "tab:blue")):
            part = [row for row in mine if name in row and ("step_s" in row) == (name == "step_tokens_per_s")]
            values = [row[name] / part[0][name] for row in part]
            bars = axes.barh([row["what"] for row in part], values, color=color)
            axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=8)
        axes.axvline(1, color="gray", linewidth=0.8)
        axes.margins(x=0.15)
        axes.set(title=model, xlabel="tokens/s, times TRL's")
    axes.invert_yaxis()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--model", metavar="DIR", help="a pretrained model, as scripts/fetch_smollm2.py writes one")
    parser.add_argument("--parts", nargs="*", choices=("update", "step"), default=["update", "step"], help="of --model")
    parser.add_argument("--problems", type=int, default=8, help="of --model")
    parser.add_argument("--repeats", type=int, default=3, help="of the update phase")
    parser.add_argument("--runs", type=int, default=2, help="of whole steps, for each trainer")
    parser.add_argument("--steps", type=int, default=4, help="of a run; the first warms up")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.model:
        import real_model  # only now: it loads vLLM, which the others have in processes of its own

        print("| what | figure |\n| --- | --- |")
        for what, figure in real_model.measure(options.model, options.parts, options.problems, options.repeats):
            print(f"| {what} | {figure} |", flush=True)
        return
    rows: list[dict] = []
    for size in options.models:
        with tempfile.TemporaryDirectory() as folder:
            model = make_model(size, Path(folder))
            if "words" not in size:  # a vocabulary without words for most of its ids: nothing to sample
                rows += whole_steps.measure(size, model, options.runs, options.steps, options.threads)
            groups = update_phase.make_groups(size)
            rows += update_phase.measure(size, model, groups, options.repeats, options.threads)
        show(rows)
    print(markdown(rows))
    if options.picture:
        draw(rows, options.picture)


if __name__ == "__main__":
    main()
