"""The headline: what training brought, with intervals and the paired difference, and what it cost."""

import math
from collections.abc import Sequence
from typing import Any

from doubleback.eval.compare import paired_change
from doubleback.eval.show.tables import cell, change_of, measured_rows
from doubleback.eval.statistics.paired import PairedDifference
from doubleback.eval.summarise import UNDEFINED, as_json
from doubleback.recipes.recipe.imitation.harvest import counted_rows
from doubleback.recipes.report.blocks import Block, Card, Cards, Section, Table
from doubleback.recipes.report.content import RunContent, Summary
from doubleback.rewards.records import read_record
from doubleback.rl.run.names import COUNTS

INTERVALS = "Intervals are 95 %, over problems."


def headline(runs: Sequence[RunContent]) -> Section:
    """Before and after of one run; of several a table with one of them a column."""
    blocks = _one(runs[0]) if len(runs) == 1 else _several(runs)
    return Section("headline", "Result", blocks)


def _one(run: RunContent) -> list[Block]:
    if run.recipe["kind"] == "sample":
        return [_kept(run)]
    ends = _ends(run)
    cards = [*_change_cards(run, ends), *cost_cards(run)]
    blocks: list[Block] = [Cards(cards)]
    for suite in run.suites:
        found = run.measured(suite)
        is_headline = ends[1] is not None and ends[1]["suite"] == suite
        if len(found) > 1 and (is_headline or not suite.startswith("validation")):
            blocks.append(_before_after(run, found[0], found[-1]))
    return blocks


def _kept(run: RunContent) -> Block:
    """Of a run that samples alone, what became of its samples."""
    if not (run.path / COUNTS).exists():
        return Cards([Card("sampled", "not all yet", "what is worth imitating is kept at the end")])
    counted = read_record(run.path / COUNTS)
    caption = f"{counted['samples']:,} samples, {counted['tokens']:,} tokens"
    return Table(caption, ("samples", "number"), counted_rows(counted))


def _ends(run: RunContent) -> tuple[Summary | None, Summary | None]:
    """The first and the last measurement of the test problems; of validation problems while there is only one."""
    for suite in ("test", "validation"):
        found = run.measured(suite)
        if len(found) > 1:
            return found[0], found[-1]
    first = next(iter(run.summaries), None)
    return first, None


def _change_cards(run: RunContent, ends: tuple[Summary | None, Summary | None]) -> list[Card]:
    first, last = ends
    if first is None:
        return [Card("measured", "nothing yet", "the first evaluation is written before step 1")]
    size = f"{first['num_problems']} {first['suite']} problems x {first['n']} samples"
    before = first["pass_at_k"].get("1", UNDEFINED)
    if last is None:
        return [value_card(f"pass@1 at step {first['step']}", before, size)]
    after = last["pass_at_k"].get("1", UNDEFINED)
    cards = [
        value_card(f"pass@1 before, step {first['step']}", before, size),
        value_card(f"pass@1 after, step {last['step']}", after, size),
    ]
    change = paired_change(run.verdicts(first), run.verdicts(last))
    return [*cards, paired_card(change, "after - before")]


def paired_card(change: PairedDifference | None, what: str) -> Card:
    """The paired difference of pass@1, its interval and p-value."""
    if change is None or math.isnan(change.difference.value):
        return Card(what, "-", "no problem was measured in both")
    low_high = f"95 % [{change.difference.low:+.3f}, {change.difference.high:+.3f}]"
    return Card(f"{what}, paired", f"{change.difference.value:+.3f}", f"{low_high}, p {p_value(change.p_value)}")


def p_value(value: float) -> str:
    """`= 0.031`; `< 0.001` where it is smaller than is worth telling."""
    return "-" if math.isnan(value) else "< 0.001" if value < 0.001 else f"= {value:.2g}"


def value_card(label: str, estimate: Any, size: str) -> Card:
    """A value, its interval and what it was measured on."""
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    if value is None:
        return Card(label, "-", f"undefined; {size}")
    interval = "no interval" if low is None else f"95 % [{low:.3f}, {high:.3f}]"
    return Card(label, f"{value:.3f}", f"{interval}, {size}")


def cost_cards(run: RunContent) -> list[Card]:
    """Seconds and tokens of the steps, and on what machine."""
    seconds, tokens = run.total("seconds/step"), run.total("rollout/tokens")
    if math.isnan(seconds):
        return []
    machine = ", ".join(machine_of(run)) or "a machine that was not written down"
    steps = f"for {len(run.trained)} steps on {machine}; start, evaluations and checkpoints apart"
    return [
        Card("training took", duration(seconds), steps),
        Card(
            f"tokens {run.source} to learn from",
            count(tokens),
            f"{count(tokens / max(seconds, 1e-9))} a second of training",
        ),
    ]


def machine_of(run: RunContent) -> list[str]:
    """The kind of machine, most telling first."""
    known = run.environment
    named = [str(known[key]) for key in ("gpu", "processor") if known.get(key)]
    platform = [] if named or not known.get("platform") else [str(known["platform"]).partition("-with-")[0]]
    counted = [_counted(known[key], name) for key, name in (("cores", "core"), ("threads", "thread")) if known.get(key)]
    return [*named, *platform, *counted]


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """`52 s`, `4.2 min`, `3.1 h`."""
    if math.isnan(seconds):
        return "-"
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 or seconds < 0.005 else f"{seconds:.2g} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def count(number: float) -> str:
    """A count with its thousands apart; short where it is large."""
    if math.isnan(number):
        return "-"
    return f"{number:,.0f}" if number < 1e6 else f"{number / 1e6:,.2f} M"


def _before_after(run: RunContent, before: Summary, after: Summary) -> Table:
    rows = [
        (label, cell(first, digits), cell(last, digits), change_of(first, last, digits))
        for label, (first, last), digits in measured_rows((before, after), run.recipe["eval"]["k"])
    ]
    caption = f"{before['suite']}: {before['num_problems']} problems x {before['n']} samples"
    columns = ("measure", f"step {before['step']}", f"step {after['step']}", "change")
    return Table(caption, columns, rows, note=INTERVALS)


def _several(runs: Sequence[RunContent]) -> list[Block]:
    rows = [
        ("state", *(f"{run.state.word}, step {run.state.step} of {run.state.steps}" for run in runs)),
        *_measured_of_several(runs),
        ("training took", *(duration(run.total("seconds/step")) for run in runs)),
        ("tokens to learn from", *(count(run.total("rollout/tokens")) for run in runs)),
        ("machine", *(", ".join(machine_of(run)) or "-" for run in runs)),
    ]
    blocks: list[Block] = [Table("The runs", ("", *(run.label for run in runs)), rows, note=INTERVALS)]
    if paired := _paired_rows(runs):
        columns = ("run", "pass@1 minus that of the first, paired by problem", "p")
        blocks.append(Table(f"Against {runs[0].label}", columns, paired))
    return blocks


def _measured_of_several(runs: Sequence[RunContent]) -> list[tuple[str, ...]]:
    """pass@1 and the other measures at the end of each run, and what it was at the start."""
    rows, ends = [], [_ends(run) for run in runs]
    starts = [UNDEFINED if first is None else first["pass_at_k"].get("1", UNDEFINED) for first, _ in ends]
    rows.append(("pass@1 before", *(cell(estimate, 3) for estimate in starts)))
    newest = [last or first for first, last in ends]
    if all(item is not None for item in newest):
        ks = sorted({1, *(k for run in runs for k in run.recipe["eval"]["k"])})
        known = [item for item in newest if item is not None]
        named = [f"{item['suite']}, step {item['step']}" for item in known]
        rows.append(("measured on", *named))
        rows += [
            (label, *(cell(estimate, digits) for estimate in estimates))
            for label, estimates, digits in measured_rows(known, ks)
        ]
    return rows


def _paired_rows(runs: Sequence[RunContent]) -> list[tuple[str, ...]]:
    """Each run against the first on the problems that both have; those of another suite are left out."""
    first = _ends(runs[0])[1]
    rows = list[tuple[str, ...]]()
    for run in runs[1:]:
        other = _ends(run)[1]
        if first is None or other is None or first["suite"] != other["suite"]:
            continue
        change = paired_change(runs[0].verdicts(first), run.verdicts(other))
        if change is not None:
            rows.append((run.label, cell(as_json(change.difference), 3, "+"), p_value(change.p_value).lstrip("= ")))
    return rows
