"""`doubleback show`: how a run stands, read from its folder. Loads neither torch nor matplotlib, and writes nothing."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from doubleback.eval.compare import SAMPLES
from doubleback.eval.show.console import Console
from doubleback.eval.show.curve import Series, curve
from doubleback.eval.show.tables import before_after, experts_table
from doubleback.eval.show.timeline import bars, in_words
from doubleback.eval.summarise import UNDEFINED
from doubleback.recipes.commands.samples.shown import show_samples
from doubleback.recipes.recipe.results import Run
from doubleback.rewards.contract.trust import word_for
from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.records import Record
from doubleback.rewards.sample_lines import read_problems, with_columns
from doubleback.rl.run.names import EVALUATIONS, METRICS, RECIPE, SAMPLES_END, evaluation_name
from doubleback.rl.run.state import RunState, state_of, stored_recipe

FIGURES = (
    ("reward", "reward/mean", "{:.3f}"),
    ("pass", "verdict/correct", "{:.3f}"),
    ("entropy", "learner/entropy", "{:.3f}"),
    ("tokens/s", "speed/rollout_tokens_per_s", "{:,.0f}"),
    ("engines", "fleet/serving", "{:.0f}"),
    ("replaced", "fleet/restarts", "{:.0f}"),
)
CURVES = (
    ("verdict/correct", "share of training rollouts that is correct"),
    ("reward/mean", "mean reward"),
    ("learner/loss", "loss"),
)
"""What is drawn: the first of these metrics that the run has."""
NUM_MEASURED = 12
"""Steps in the table of an unfinished run: the first, and the newest."""
NUM_SAMPLES = 3
"""Of a step that is asked for: so many of the best, and of the worst."""


def show_run(path: Path, console: Console) -> None:
    """How a run stands: step, newest figures, its curve, what was measured, samples, and what to do next."""
    run = Run(path)
    path = run.path
    recipe = stored_recipe(path)
    lines, state = complete_lines(path / METRICS), state_of(path)
    if recipe["kind"] == "sample":
        _show_sampled(path, recipe, state, console)
        return
    console.print(f"run         {path}: {recipe['description']}", soft_wrap=True)
    console.print(f"state       {_in_words(state)}", soft_wrap=True)
    console.print(f"step        {state.step} of {state.steps}{_saved(state)}")
    if lines:
        known = {name: math.nan if value is None else value for name, value in lines[-1].items()}
        console.print(f"newest      {figures(known)}", soft_wrap=True)
    summaries = list(run.evaluations().values())
    _show_curve(lines, summaries, console)
    if words := in_words(bars(lines)):
        console.print(f"waiting     {words}", soft_wrap=True)
    if state.is_finished:
        show_tables(path, recipe, summaries, console)
    else:
        _show_measured(summaries, console)
    if show_samples(path, None, 1, console):
        console.print(f"more        {shlex.join(['doubleback', 'show', str(path), '--step'])} STEP", soft_wrap=True)
    console.print(f"next        {_next(path, recipe, state)}", soft_wrap=True)


def show_step(path: Path, step: int, console: Console) -> None:
    """The figures of a step and its best and worst samples. ConfigError where the step has none."""
    run = Run(path).path
    found = [line for line in complete_lines(run / METRICS) if line["step"] == step]
    for line in found[-1:]:
        known = {name: math.nan if value is None else value for name, value in line.items()}
        console.print(f"step {step}    {figures(known)}", soft_wrap=True)
    show_samples(run, step, NUM_SAMPLES, console)


def _show_curve(lines: Sequence[dict[str, Any]], summaries: Sequence[dict[str, Any]], console: Console) -> None:
    name, label = next((pair for pair in CURVES if any(pair[0] in line for line in lines)), CURVES[0])
    training = Series(label, [(line["step"], line.get(name)) for line in lines])
    measured = [item for item in summaries if item["suite"] == "validation"] if name == CURVES[0][0] else []
    shown = [(item["step"], item["pass_at_k"].get("1", UNDEFINED)["value"]) for item in measured]
    series = [training, Series("pass@1 of the validation problems", shown)]
    width = max(20, min(60, console.width - 12))
    for row in curve(series, width, is_ascii=console.options.ascii_only):
        console.print(row, highlight=False, soft_wrap=True)


def _in_words(state: RunState) -> str:
    return state.word if state.owner is None else f"{state.word}: {state.owner}"


def _saved(state: RunState) -> str:
    return ", none is saved yet" if state.saved_step is None else f", of which {state.saved_step} is saved"


def _show_sampled(path: Path, recipe: Record, state: RunState, console: Console) -> None:
    """How a run stands that samples alone."""
    console.print(f"state       {_in_words(state)}", soft_wrap=True)
    console.print(f"sampled     {len(complete_lines(path / SAMPLES)):,} completions")
    if state.is_finished:
        from doubleback.recipes.commands.samples.harvest import show_kept  # it reads tables of every kind

        show_kept(path, console)
    else:
        console.print(f"next        {_next(path, recipe, state)}", soft_wrap=True)


def _next(path: Path, recipe: dict[str, Any], state: RunState) -> str:
    if state.owner is not None:
        return "it goes on by itself; Ctrl-C or SIGTERM there stops and saves it"
    if state.is_finished:
        return f"measure it: {shlex.join(['doubleback', 'eval', str(path), '--suite'])} SUITE"
    if recipe["trainer"] == "trl":
        return "trainer=trl cannot go on; start anew in another folder"
    return shlex.join(["doubleback", "train", str(path / RECIPE), *word_for(recipe), "--out", str(path), "--resume"])


def _show_measured(summaries: Sequence[dict[str, Any]], console: Console) -> None:
    """What was measured so far, a line each: the first, and the newest."""
    measured = sorted(summaries, key=lambda item: (item["suite"], item["step"]))
    if not measured:
        return
    table = Table(box=None, pad_edge=False)
    for column in ("measured", "step", "pass@1", "95 % interval"):
        table.add_column(column, justify="left" if column == "measured" else "right")
    for item in _few(measured):
        estimate = item["pass_at_k"]["1"]
        low, high = (math.nan if estimate[name] is None else estimate[name] for name in ("low", "high"))
        value = math.nan if estimate["value"] is None else estimate["value"]
        table.add_row(item["suite"], str(item["step"]), f"{value:.3f}", f"[{low:.3f}, {high:.3f}]")
    console.print(table)


def _few(measured: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*measured[:1], *measured[1:][-NUM_MEASURED:]]


@dataclass(frozen=True, slots=True)
class Tested:
    """What was measured on the test problems, before and after."""

    before: dict[str, Any]
    after: dict[str, Any]


def show_tables(
    out: Path, recipe: Mapping[str, Any], summaries: Sequence[dict[str, Any]], console: Console
) -> Tested | None:
    """Print what the test problems say before and after, and return it; None, and a line, where one of both is gone."""
    # A run that was resumed with more steps has been measured at its former end too.
    tested = [summary for summary in summaries if summary["suite"] == "test"]
    if len(tested) < 2:
        gone = out / EVALUATIONS / f"{evaluation_name('test', 0)}.json"
        console.print(f"there is nothing to compare with: {gone} is gone", soft_wrap=True)
        return None
    before, *_, after = tested
    console.print(before_after(before, after, recipe["eval"]["k"]))
    if (experts := experts_table(before, after)) is not None:
        console.print(experts)
    apart = _apart(summaries, recipe)
    for first_one, *_, last_one in apart.values():
        console.print(before_after(first_one, last_one, recipe["eval"]["k"]))
    if trained_in := {name: apart[name][-1] for name in recipe.get("modes", {}) if name in apart}:
        from doubleback.recipes.commands.modes import trained_modes_table  # it reads what measures of every kind need

        samples = out / EVALUATIONS / f"{evaluation_name('test', after['step'])}{SAMPLES_END}"
        lines = with_columns(complete_lines(samples), read_problems(out).values())
        console.print(trained_modes_table(trained_in, lines))
    return Tested(before, after)


def _apart(summaries: Sequence[dict[str, Any]], recipe: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Strand -> its measurements on test problems, where a run has several."""
    others = {Path(suite).stem for suite in recipe["eval"].get("suites", [])}
    apart: dict[str, list[dict[str, Any]]] = {}
    for item in summaries:
        before, _, name = item["suite"].partition("-")
        if before == "test" and name and item["suite"] not in others:
            apart.setdefault(name, []).append(item)
    return apart


def figures(metrics: Mapping[str, float]) -> str:
    """The few figures of a step that fit in a line, and its pass@1 where it was measured."""
    shown = [f"{label} {form.format(metrics[name])}" for label, name, form in FIGURES if name in metrics]
    measured = [
        f"{name.removeprefix('eval/')} {value:.3f}" for name, value in metrics.items() if name.endswith("/pass@1")
    ]
    return "  ".join([*shown, *measured])
