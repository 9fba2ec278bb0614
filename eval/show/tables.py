"""Tables for the terminal."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from doubleback.eval.compare import ComparedEvaluations, ComparedModes
from doubleback.eval.summarise import UNDEFINED, as_json
from doubleback.rl.objective.balance import from_layers, over_layers

LABELS = {
    "format_rate": "format kept",
    "cut_off_rate": "cut off",
    "mean_tokens": "mean tokens",
    "obeys_thinking": "obeys thinking",
}

BALANCE_LABELS = {
    "max_violation": "largest violation (MaxVio), mean over layers",
    "worst_violation": "the same, worst layer",
    "mean_violation": "mean violation",
    "entropy": "entropy, 1 is balanced",
    "unused": "experts never used",
    "largest_share": "busiest expert's share of tokens, worst layer",
}
"""What `rl.objective.balance.over_layers` gives -> its label."""


def labels(summary: Mapping[str, Any]) -> dict[str, str]:
    """Name -> label of the measures of a summary that are one estimate: the task's own first."""
    return {name: label for name, label in summary["measures"].items() if "value" in summary[name]} | LABELS


def before_after(before: dict[str, Any], after: dict[str, Any], ks: Sequence[int]) -> Table:
    """The table of two evaluation summaries of one suite: pass@k of each k and the measures, with 95 % intervals."""
    title = (
        f"{before['suite']}: {before['num_problems']} problems x {before['n']} samples, 95 % intervals over problems"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("measure")
    for summary in (before, after):
        table.add_column(f"step {summary['step']}", justify="right")
    table.add_column("change", justify="right")
    for label, (first, second), digits in measured_rows((before, after), ks):
        table.add_row(label, cell(first, digits), cell(second, digits), change_of(first, second, digits))
    return table


def experts_table(before: Mapping[str, Any], after: Mapping[str, Any]) -> Table | None:
    """How evenly two evaluations' tokens are spread over the experts; None where experts were not reported."""
    if not (before.get("experts") and after.get("experts")):
        return None
    table = Table(title=f"experts: {len(before['experts'])} layers, load per expert", title_justify="left")
    table.add_column("measure")
    for summary in (before, after):
        table.add_column(f"step {summary['step']}", justify="right")
    first, second = balance_of(before), balance_of(after)
    for name, label in BALANCE_LABELS.items():
        table.add_row(label, *("-" if math.isnan(it[name]) else f"{it[name]:.3f}" for it in (first, second)))
    return table


def balance_of(summary: Mapping[str, Any]) -> dict[str, float]:
    """The figures of `BALANCE_LABELS` of an evaluation that reports experts."""
    return over_layers(from_layers(summary["experts"]))


def measured_rows(
    summaries: Sequence[Mapping[str, Any]], ks: Sequence[int]
) -> list[tuple[str, list[Mapping[str, float | None]], int]]:
    """(label, an estimate of each summary, digits) of pass@k of each k and of the measures; none without any value."""
    rows = [(f"pass@{k}", [item["pass_at_k"].get(str(k), UNDEFINED) for item in summaries]) for k in ks]
    rows += [(label, [item.get(name, UNDEFINED) for item in summaries]) for name, label in labels(summaries[0]).items()]
    if any(item["unusable_rate"]["value"] for item in summaries):
        rows.append(("not judged", [item["unusable_rate"] for item in summaries]))
    return [
        (label, estimates, 1 if label == "mean tokens" else 3)
        for label, estimates in rows
        if any(estimate["value"] is not None for estimate in estimates)
    ]


def cell(estimate: Mapping[str, float | None], digits: int, sign: str = "") -> str:
    """`0.311 [0.289, 0.330]`; a dash where nothing was measured."""
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    if value is None:
        return "-"
    if low is None or high is None:  # one problem says nothing of the others
        return f"{value:{sign}.{digits}f} [-]"
    return f"{value:{sign}.{digits}f} [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"


def change_of(first: Mapping[str, float | None], second: Mapping[str, float | None], digits: int) -> str:
    """The second minus the first, with its sign; a dash where one of the two is undefined."""
    values = [math.nan if item["value"] is None else item["value"] for item in (first, second)]
    difference = values[1] - values[0]
    return "-" if math.isnan(difference) else f"{difference:+.{digits}f}"


def evaluation_table(summary: Mapping[str, Any], ks: Sequence[int] = ()) -> Table:
    """One evaluation: value and 95 % interval of everything that was measured."""
    title = (
        f"{summary['suite']}: {summary['num_problems']} problems x {summary['n']} samples, 95 % intervals over problems"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("measure")
    table.add_column("value", justify="right")
    for row in evaluation_rows(summary, ks):
        table.add_row(*row)
    return table


def evaluation_rows(summary: Mapping[str, Any], ks: Sequence[int] = ()) -> list[tuple[str, str]]:
    """(label, value and interval) of everything that was measured; phrases and verdicts at the end."""
    rows = [
        (label, cell(estimate, digits))
        for label, estimate, digits in _rows(summary, ks)
        if estimate is not None and estimate["value"] is not None
    ]
    if phrases := _phrases(summary):
        rows.append(("reflection phrases", phrases))
    verdicts = ", ".join(f"{name} {share:.1%}" for name, share in summary["verdicts"].items() if share)
    return [*rows, ("verdicts", verdicts)]


COMPARED = ("measure", "A", "B", "B - A", "p")
"""Columns of two evaluations side by side."""


def comparison_table(first: Mapping[str, Any], second: Mapping[str, Any], compared: ComparedEvaluations) -> Table:
    """Two evaluations side by side, with the paired difference of what decides."""
    title = f"{first['suite']}: {compared.num_problems} problems in both, paired by problem"
    table = Table(title=title, title_justify="left")
    for column in COMPARED:
        table.add_column(column, justify="left" if column == "measure" else "right")
    for row in compared_rows(first, second, compared):
        table.add_row(*row)
    table.caption = f"intervals of 95 % and p paired by problem: {compared.pass_at_1.method}"
    return table


def compared_rows(
    first: Mapping[str, Any], second: Mapping[str, Any], compared: ComparedEvaluations
) -> list[tuple[str, str, str, str, str]]:
    """The rows of `COMPARED`: what both have measured, and how many problems each is better in."""
    table = list[tuple[str, str, str, str, str]]()
    ks = sorted({1, *map(int, set(first["pass_at_k"]) & set(second["pass_at_k"]))})
    rows = [_rows(summary, (ks[0], ks[-1])) for summary in (first, second)]
    others = {label: estimate for label, estimate, _ in rows[1]}
    paired = {"pass@1": compared.pass_at_1, "mean tokens": compared.tokens}
    for label, estimate, digits in rows[0]:
        other = others.get(label)
        if not (estimate and other) or estimate["value"] is None or other["value"] is None:
            continue
        difference, p = paired.get(label), ""
        change = change_of(estimate, other, digits)
        if difference is not None:
            change, p = cell(as_json(difference.difference), digits, "+"), f"{difference.p_value:.2g}"
        table.append((label, f"{estimate['value']:.{digits}f}", f"{other['value']:.{digits}f}", change, p))
    return [*table, ("better in", f"{compared.only_first}", f"{compared.only_second}", "problems", "")]


def equal_tokens_table(compared: ComparedEvaluations) -> Table:
    """pass@1 of the one with longer completions against pass@k of the other, k samples being as many tokens."""
    title, row, caption = at_equal_tokens(compared)
    table = Table(title=title, title_justify="left", caption=caption)
    for column in row:
        table.add_column(column, justify="right")
    table.add_row(*row.values())
    return table


def at_equal_tokens(compared: ComparedEvaluations) -> tuple[str, dict[str, str], str]:
    """(title, column -> figure, what is to be known of them)."""
    found, names = compared.equal_tokens, ("B", "A") if compared.is_second_longer else ("A", "B")
    is_known = not math.isnan(found.k)
    guessed = f"pass@{found.k:.2f}" if is_known else "pass@k"
    values = ["-" if math.isnan(value) else f"{value:.3f}" for value in (found.searcher, found.guesser)]
    p_value = "-" if math.isnan(found.p_value) else f"{found.p_value:.2g}"
    columns = (f"pass@1 of {names[0]}", f"{guessed} of {names[1]}", f"{names[0]} - {names[1]}", "p")
    figures = (*values, cell(as_json(found.difference), 3, "+"), p_value)
    few = f"{names[1]} has too few samples a problem for as many tokens; evaluate both with a larger --n"
    caption = "95 % over problems, k found anew in each resample" if is_known else few
    return f"at equal tokens, {found.tokens:.1f} a problem", dict(zip(columns, figures, strict=True)), caption


def modes_table(summaries: Mapping[str, Mapping[str, Any]], compared: ComparedModes | None) -> Table:
    """The modes of one policy, a row each, and below what thinking brings and costs where both kinds are there."""
    table = Table(title="modes, 95 % intervals over problems", title_justify="left", caption_justify="left")
    for column in ("mode", "pass@1", "mean tokens", "obeys thinking", "cut off"):
        table.add_column(column, justify="left" if column == "mode" else "right")
    for name, summary in summaries.items():
        estimates = [summary["pass_at_k"].get("1", UNDEFINED), summary["mean_tokens"]]
        estimates += [summary["obeys_thinking"], summary["cut_off_rate"]]
        table.add_row(name, *map(cell, estimates, (3, 1, 3, 3)))
    if compared is not None:
        table.caption = _price(compared)
    return table


def _price(compared: ComparedModes) -> str:
    estimates = map(as_json, (compared.accuracy.difference, compared.tokens.difference, compared.price))
    accuracy, tokens, price = map(cell, estimates, (3, 1, 1), "+++")
    return f"thinking, paired by problem: pass@1 {accuracy}, tokens {tokens}, points per 100 tokens {price}"


def flips_table(compared: ComparedEvaluations, number: int = 10) -> Table:
    """The problems that changed most."""
    table = Table(title=f"{len(compared.flips)} problems flipped; the largest changes", title_justify="left", box=None)
    for column in ("problem", "A", "B"):
        table.add_column(column)
    for flip in compared.flips[:number]:
        table.add_row(flip.problem, f"{flip.first:.2f}", f"{flip.second:.2f}")
    return table


def _rows(summary: Mapping[str, Any], ks: Sequence[int]) -> list[tuple[str, dict[str, float | None] | None, int]]:
    """(label, estimate, digits) of everything that a summary may hold."""
    curve = summary["pass_at_k"]
    shown = [str(k) for k in sorted({1, *ks, *([int(max(curve, key=int))] if curve else [])})]
    rows = [(f"pass@{k}", curve.get(k), 3) for k in shown]
    rows += [(f"pass^{k}, all right", summary["pass_all_k"].get(k), 3) for k in shown if k != "1"]
    rows += [(f"maj@{k}", estimate, 3) for k, estimate in summary["maj_at_k"].items() if k != "1"]
    if summary["extraction"]["strict"]["value"] is not None:  # else nobody asked for a form
        rows += [(f"{name} extraction", summary["extraction"][name], 3) for name in ("strict", "flexible")]
    shown_labels = {
        **labels(summary),
        "no_answer_rate": "no answer",
        "unusable_rate": "not judged",
        "banned_rate": "says what is banned",
    }
    rows += [(label, summary.get(name), 1 if name == "mean_tokens" else 3) for name, label in shown_labels.items()]
    for name, label in summary["measures"].items():
        if "value" not in summary[name]:
            rows += [(f"{label}, {kind}", estimate, 2) for kind, estimate in summary[name].items()]
    return [(label, estimate, digits) for label, estimate, digits in rows if estimate is not None]


def _phrases(summary: Mapping[str, Any]) -> str | None:
    """Words that sound like reflection, where no exact measure says more, and how answers fare with and without."""
    reflection = summary.get("reflection_phrases")
    if summary["measures"] or not reflection or not reflection["share_with_phrase"]:
        return None
    rates = [reflection["accuracy_with_phrase"], reflection["accuracy_without_phrase"]]
    right = " and ".join("-" if rate is None else f"{rate:.3f}" for rate in rates)
    return f"in {reflection['share_with_phrase']:.1%} of completions; right with and without: {right}"
