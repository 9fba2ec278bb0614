"""The commands around rewards: grade stored completions, and try a reward before it is used."""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from doubleback.eval.lm_harness import is_lm_harness, rows_from_lm_harness
from doubleback.eval.show.tables import evaluation_table
from doubleback.eval.summary import summary
from doubleback.rewards.answers.grade import gold_answers
from doubleback.rewards.checks.dry_run import KEY, NAME, Check, Sample, config_for, dry_run, gold_samples, is_about_form
from doubleback.rewards.checks.golds import matched_as_text_only
from doubleback.rewards.checks.regrade import (
    Graded,
    completion_of,
    latency_percentiles,
    read_completions,
    regrade,
    slowest,
    verdict_counts,
)
from doubleback.rewards.compose.config import RewardConfig
from doubleback.rewards.compose.fault_limit import shorten
from doubleback.rewards.compose.reward import load_reward
from doubleback.rewards.jsonl import Row, parse_rows, read_rows
from doubleback.rewards.settings import override
from doubleback.rewards.types import ConfigError, Verdict
from doubleback.rl.run.files import write_atomically

PERCENTILES = (50, 90, 99, 100)
NUM_SLOWEST = 5
NUM_EXAMPLES = 5
"""Shown of what failed a check."""


def one_reward(function: str, arguments: Sequence[str], conversational: bool, timeout: float) -> RewardConfig:
    """The reward that `--reward` and `--arg key=value` name."""
    config = config_for(function, override({}, arguments), timeout_seconds=timeout)
    component = next(iter(config.components.values())).model_copy(update={"conversational": conversational})
    return config.model_copy(update={"components": {NAME: component}})


def score_file(path: Path, config: RewardConfig, out: Path | None, console: Console) -> None:
    """Grade the rows of a file, write them with their scores, and say what came of it."""
    out = out or path.with_name(f"{path.stem}.scored.jsonl")
    if out.exists():
        raise ConfigError(f"--out {out} exists already; choose another file")
    (component,) = config.components.values()
    function = str(component.function or "")
    known, _ = parse_rows(path)
    is_foreign = bool(known) and is_lm_harness(known[0].data)
    rows = read_completions(path, function == "math", rows_from_lm_harness if is_foreign else None)
    with load_reward(config, key=KEY) as reward:
        reward.ready()
        progress = track(regrade(rows, reward), "grading", len(rows), console=console, disable=not console.is_terminal)
        graded = list(progress)
    write_atomically(out, "".join(json.dumps(item.line()) + "\n" for item in graded).encode())
    settings = {"suite": path.stem, "data_sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "reward": function}
    found = summary([_summary_line(item) for item in graded], settings)
    summary_path = out.with_name(f"{out.stem}.summary.json")
    write_atomically(summary_path, json.dumps(found, indent=2).encode())
    console.print(evaluation_table(found))
    console.print(_verdicts(graded))
    console.print(_slowest(graded))
    console.print(f"scored rows  {out}\nsummary      {summary_path}", soft_wrap=True)


def check_reward(
    config: RewardConfig, data: Path | None, answer: str, style: str | None, about_form: bool, console: Console
) -> bool:
    """Print the table of a dry run; whether nothing failed."""
    (component,) = config.components.values()
    function = str(component.function or "")
    samples, lines = _samples(data, answer, function)
    with console.status(f"trying {function}"):
        checks = dry_run(config, samples, style=style, is_about_form=about_form or is_about_form(function))
    table = Table(box=None, pad_edge=False)
    for column in ("check", "", "figures"):
        table.add_column(column)
    for check in checks:
        table.add_row(check.name, _mark(check), check.figures)
        for example in check.examples[:NUM_EXAMPLES] if check.is_ok is False else ():
            table.add_row("", "", shorten(example), style="dim")
    console.print(table)
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    return all(check.is_ok is not False for check in checks)


def _samples(data: Path | None, answer: str, function: str) -> tuple[list[Sample], list[str]]:
    """What the rows of `--data` are good for: golds where there is an answer, completions where there are some.

    ConfigError where the rows have neither.
    """
    if data is None:
        return [], []
    rows = [Row(row.number, {**row.data, "answer": row.data.get(answer)}) for row in read_rows(data)]
    samples: list[Sample] = []
    golds = [(f"line {row.number}", row.data) for row in rows if _has_gold(row.data)]
    samples += gold_samples(golds)
    samples += [
        Sample(f"line {row.number}", str(row.data.get("prompt") or ""), str(row.data["completion"]), row.data)
        for row in rows
        if row.data.get("completion") is not None
    ]
    if not samples:
        raise ConfigError(f"--data {data}: no row has a gold in {answer!r} (see --answer) or a completion")
    if function != "math" or not golds:
        return samples, []
    unread = matched_as_text_only([row["answer"] for _, row in golds])
    names = "; ".join(f"{golds[row][0]} {gold_answers(golds[row][1]['answer'])[0][:60]}" for row in unread)
    share = f"{len(unread)} of {len(golds)} golds can be matched as text only"
    return samples, [f"{share}: {names}" if unread else share]


def _has_gold(row: dict[str, Any]) -> bool:
    try:
        return bool(gold_answers(row.get("answer")))
    except ConfigError:
        return False


def _mark(check: Check) -> str:
    return {True: "[green]ok[/]", False: "[red]fails[/]", None: "[dim]n/a[/]"}[check.is_ok]


def _summary_line(item: Graded) -> dict[str, Any]:
    """A graded row as one sample of an evaluation: of the problem that it names, or else of one for itself."""
    data = item.row.data
    names = [str(data[key]) for key in ("problem", "id", "question", "prompt") if data.get(key) is not None]
    ids = data.get("completion_ids") or data.get("token_ids")
    kept: dict[str, Any] = {key: data[key] for key in ("truncated", "numbers", "target", "thinking") if key in data}
    return {
        **kept,
        "problem": names[0] if names else f"line {item.row.number}",
        "completion": completion_of(item.row),
        "tokens": len(ids) if ids else data.get("tokens"),
        "verdict": item.score.verdict,
        "extracted": item.score.extracted,
        "strict": item.format_ok and item.score.verdict == Verdict.CORRECT,
    }


def _verdicts(graded: Sequence[Graded]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("figure", "value", "share"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for verdict, count in verdict_counts(graded).items():
        table.add_row(verdict, f"{count:,}", f"{count / len(graded):.1%}")
    values = [item.score.value for item in graded if item.score.value is not None]
    table.add_row("mean score", f"{sum(values) / len(values):.4f}" if values else "undefined", "")
    exact = sum(item.format_ok for item in graded)
    table.add_row("format kept", f"{exact:,}", f"{exact / len(graded):.1%}")
    for share, seconds in latency_percentiles(graded, PERCENTILES).items():
        name = "slowest" if share == 100 else f"{share:g} % within"
        table.add_row(name, "not timed" if math.isnan(seconds) else f"{seconds * 1000:.2f} ms", "")
    return table


def _slowest(graded: Sequence[Graded]) -> Table:
    table = Table(box=None, pad_edge=False, title="slowest rows", title_justify="left")
    for column in ("line", "ms", "verdict", "completion"):
        table.add_column(column)
    for item in slowest(graded, NUM_SLOWEST):
        milliseconds = f"{(item.score.seconds or 0.0) * 1000:.2f}"
        text = repr(shorten(completion_of(item.row)))
        table.add_row(str(item.row.number), milliseconds, item.score.verdict, text)
    return table
