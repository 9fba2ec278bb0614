"""The commands around rewards: grade stored completions, and try a reward before it is used."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import track
from rich.table import Table
from rich.text import Text

from doubleback.eval.show.console import Console
from doubleback.eval.show.explained import differing_table, disagreement_table
from doubleback.eval.show.tables import evaluation_table
from doubleback.eval.summarise import summary
from doubleback.recipes.commands.samples.stored import Read, read_stored, what_to_score
from doubleback.recipes.tasks.task import shipped_measures
from doubleback.rewards.answers.extract import Style
from doubleback.rewards.answers.grade import gold_answers
from doubleback.rewards.answers.messages import completion_text
from doubleback.rewards.checks.dry_run import KEY, NAME, Check, Trial, config_for, dry_run, gold_samples, is_about_form
from doubleback.rewards.checks.golds import matched_as_text_only
from doubleback.rewards.checks.graders import explain
from doubleback.rewards.checks.regrade import (
    Graded,
    group_names,
    latency_percentiles,
    regrade,
    slowest,
    verdict_changes,
    verdict_counts,
)
from doubleback.rewards.compose.config import RewardConfig
from doubleback.rewards.compose.fault_limit import shorten
from doubleback.rewards.compose.reward import load_reward
from doubleback.rewards.jsonl import GZIPPED, Row, field, refuse, to_lines
from doubleback.rewards.rows import Source, read_data, stem
from doubleback.rewards.settings import override
from doubleback.rewards.types import UNUSABLE, ConfigError, RunError, Verdict
from doubleback.rl.run.files import write_atomically
from doubleback.rl.run.owner import owned_output, require_new_file

PERCENTILES = (50, 90, 99, 100)
NUM_SLOWEST = 5
NUM_CHANGED = 2
"""Examples of each change of verdicts."""
FIRST_CALL = 10
"""How many limits beyond its own the first call in a worker may take; a recipe has a key for that."""
NUM_EXAMPLES = 5
"""Shown of what failed a check."""
SIGNS_OF_MESSAGES = ("string indices must be integers", "'str' object has no attribute 'get'")
"""What Python says where a reward that reads chat messages is given text."""


def one_reward(
    function: str, arguments: Sequence[str], conversational: bool, timeout: float, environment: Sequence[str] = ()
) -> RewardConfig:
    """The reward that `--reward`, `--arg key=value` and `--env NAME` name."""
    limits = {"timeout_seconds": timeout, "first_call_seconds": FIRST_CALL * timeout}
    config = config_for(function, override({}, arguments), **limits)
    component = next(iter(config.components.values())).model_copy(update={"conversational": conversational})
    return config.model_copy(update={"components": {NAME: component}, "environment": list(environment)})


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked of `doubleback score` beside the reward."""

    out: Path | None = None
    """Where the scored rows go. None: where `what_to_score` says."""
    force: bool = False
    """Overwrite what is there."""
    skip_bad: bool = False
    """Leave bad rows out."""
    explain: bool = False
    """Show what other graders say where they differ."""


def score_completions(path: Path, config: RewardConfig, options: Options, console: Console) -> None:
    """Grade stored completions, write them with their scores, and say what came of it and which verdicts changed.

    `path` is a file of rows, or the folder of a run (all of its rollouts) or of an evaluation. ConfigError where `out`
    exists, unless with `force`, before anything is read, and for bad rows, unless with `skip_bad`; RunError where no
    row could be judged.
    """
    files, default = what_to_score(path)
    out = options.out or default
    with owned_output(out):
        require_new_file(out, options.force)
        (component,) = config.components.values()
        needs_answer = component.function == "math" or options.explain
        read = read_stored(files, options.skip_bad, needs_answer, console, str(component.function))
        graded = _score(stem(path), read, config, out, console)
        if options.explain:
            _explain(graded, config, out, console)


def _score(name: str, read: Read, config: RewardConfig, out: Path, console: Console) -> list[Graded]:
    (component,) = config.components.values()
    function, stored = component.function or "", read.stored
    with load_reward(config, key=KEY) as reward:
        reward.ready()
        graded = list(
            track(
                regrade(stored, reward, Style.FLEXIBLE if function == "math" else None),
                "grading",
                len(stored),
                console=console,
                disable=not console.is_terminal,
            )
        )
    graded.sort(key=lambda item: item.stored.row.number)
    _require_judged(graded, component.conversational)
    write_atomically(out, to_lines((item.line() for item in graded), is_gzipped=out.suffix == GZIPPED))
    settings = {"suite": name, "data_sha256": read.sha256, "reward": function}
    found = summary(_summary_lines(graded), settings, measures=shipped_measures())
    summary_path = out.with_name(f"{stem(out)}.summary.json")
    write_atomically(summary_path, json.dumps(found, indent=2).encode())
    console.print(evaluation_table(found))
    console.print(_verdicts(graded))
    if was_judged := [item for item in graded if "verdict" in item.stored.row.data]:
        console.print(_changes(was_judged))
    console.print(_slowest(graded))
    console.print(f"scored rows  {out}\nsummary      {summary_path}", soft_wrap=True)
    return graded


def _explain(graded: Sequence[Graded], config: RewardConfig, out: Path, console: Console) -> None:
    """Write and show the rows on which strict, flexible, math-verify and the reward differ."""
    (component,) = config.components.values()
    asked_for = component.args.get("style", Style.FLEXIBLE) if component.function == "math" else Style.FLEXIBLE
    strict = Style.BOXED if asked_for == Style.FLEXIBLE else Style(asked_for)
    with console.status("asking the other graders"):
        explained = list(explain(graded, strict, config.timeout_seconds))
    explained_path = out.with_name(f"{stem(out)}.explained.jsonl")
    write_atomically(explained_path, to_lines(item.line() for item in explained if item.differs))
    console.print(differing_table(explained))
    console.print(disagreement_table(explained))
    console.print(f"explained    {explained_path} (strict reads {strict} where a row has no style)", soft_wrap=True)


def _require_judged(graded: Sequence[Graded], is_conversational: bool) -> None:
    """RunError with the most frequent reason where not one row could be judged: there is nothing to write."""
    if any(item.score.verdict not in UNUSABLE for item in graded):
        return
    ((reason, _),) = Counter(str(item.score.detail) for item in graded).most_common(1)
    hint = ""
    if not is_conversational and any(sign in reason for sign in SIGNS_OF_MESSAGES):
        hint = "; it seems to read chat messages: try --conversational"
    raise RunError(f"none of {len(graded):,} rows could be judged, and nothing was written: {reason}{hint}")


def check_reward(
    config: RewardConfig, data: Path | None, answer: str, style: str | None, about_form: bool, console: Console
) -> bool:
    """Print the table of a dry run; whether nothing failed."""
    (component,) = config.components.values()
    function = str(component.function or "")
    samples, lines = _samples(data, answer, function)
    with console.status(f"trying {function}"):
        checks = dry_run(config, samples, style=style, is_about_form=about_form or is_about_form(function))
    table = Table(box=None, pad_edge=False, title=f"reward {function}", title_justify="left")
    for column in ("check", "", "figures"):
        table.add_column(column)
    for check in checks:
        table.add_row(check.name, _mark(check), check.figures)
        for example in check.examples[:NUM_EXAMPLES] if check.is_ok is False else ():
            table.add_row("", "", shorten(example), style="dim")
    console.print(table)
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)
    return all(check.is_ok is not False for check in checks)


def _samples(data: Path | None, answer: str, function: str) -> tuple[list[Trial], list[str]]:
    """What the rows of `--data` are good for: golds where there is an answer, completions where there are some.

    ConfigError where the rows have neither.
    """
    if data is None:
        return [], []
    read = read_data(Source(str(data)))
    refuse(read.bad)
    rows = [Row(row.number, {**row.data, "answer": field(row.data, answer)}) for row in read.rows]
    samples: list[Trial] = []
    golds = [(f"line {row.number}", row.data) for row in rows if _has_gold(row.data)]
    samples += gold_samples(golds)
    samples += [
        Trial(f"line {row.number}", _text(row, "prompt"), _text(row, "completion"), row.data)
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


def _text(row: Row, key: str) -> str:
    """What the row says there, as text or as chat messages. ConfigError names its line where it is neither."""
    try:
        return completion_text(row.data.get(key) or "")
    except ValueError as error:
        raise ConfigError(f"line {row.number}: {key}: {error}") from error


def _has_gold(row: dict[str, Any]) -> bool:
    try:
        return bool(gold_answers(row.get("answer")))
    except ConfigError:
        return False


def _mark(check: Check) -> Text:
    return {True: Text("ok", "green"), False: Text("fails", "red"), None: Text("n/a", "dim")}[check.is_ok]


def _summary_lines(graded: Sequence[Graded]) -> list[dict[str, Any]]:
    """The graded rows as samples of the problems that `group_names` finds, each with its problem's columns."""
    names = group_names([item.stored.row for item in graded])
    return [
        {**item.stored.problem.columns, **item.line(), "problem": name, "completion": item.text}
        for name, item in zip(names, graded, strict=True)
    ]


def _changes(graded: Sequence[Graded]) -> Table:
    """Which verdicts are others than the rows had, how often, and the first such completions."""
    changed = verdict_changes(graded)
    total = sum(len(items) for items in changed.values())
    table = Table(title=f"{total:,} of {len(graded):,} verdicts changed", title_justify="left", box=None)
    for column in ("before", "now", "count", "for example"):
        table.add_column(column, justify="right" if column == "count" else "left")
    for (before, now), items in changed.items():
        for place, item in enumerate(items[:NUM_CHANGED]):
            example = f"{item.stored.row.data.get('problem', item.stored.problem.id)}: {shorten(item.text)!r}"
            shown = (before, now, f"{len(items):,}") if place == 0 else ("", "", "")
            table.add_row(*shown, example)
    return table


def _verdicts(graded: Sequence[Graded]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("figure", "value", "share"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for verdict, count in verdict_counts(graded).items():
        table.add_row(verdict, f"{count:,}", f"{count / len(graded):.1%}")
    values = [item.score.value for item in graded if item.score.value is not None]
    table.add_row("mean score", f"{sum(values) / len(values):.4f}" if values else "undefined", "")
    if forms := [item.format_ok for item in graded if item.format_ok is not None]:
        table.add_row("format kept", f"{sum(forms):,}", f"{sum(forms) / len(forms):.1%}")
    if others := [item for item in graded if item.stored.row.data.get("harness_correct") is not None]:
        table.add_row(*_agreement(others))
    for share, seconds in latency_percentiles(graded, PERCENTILES).items():
        name = "slowest" if share == 100 else f"{share:g} % within"
        table.add_row(name, "not timed" if math.isnan(seconds) else f"{seconds * 1000:.2f} ms", "")
    return table


def _agreement(graded: Sequence[Graded]) -> tuple[str, str, str]:
    """How often lm-evaluation-harness said the same, and who alone said right; a row of the table."""
    pairs = [(bool(item.stored.row.data["harness_correct"]), item.score.verdict == Verdict.CORRECT) for item in graded]
    same = sum(theirs == ours for theirs, ours in pairs)
    alone = f"{pairs.count((False, True))} right here alone, {pairs.count((True, False))} right there alone"
    return f"as the harness ({alone})", f"{same:,}", f"{same / len(pairs):.1%}"


def _slowest(graded: Sequence[Graded]) -> Table:
    table = Table(box=None, pad_edge=False, title="slowest rows", title_justify="left")
    for column in ("line", "ms", "verdict", "completion"):
        table.add_column(column)
    for item in slowest(graded, NUM_SLOWEST):
        milliseconds = f"{(item.score.seconds or 0.0) * 1000:.2f}"
        text = repr(shorten(item.text))
        table.add_row(str(item.stored.row.number), milliseconds, item.score.verdict, text)
    return table
