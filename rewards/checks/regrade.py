"""Grade stored completions again: rows of JSON in, the same rows with a score out. See `doubleback score`.

Rows are samples of ours (`rewards.sample_lines`), whose problems stand in `problems.jsonl`, or rows of other systems,
whose columns are the problem's.
"""

import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from doubleback.rewards.answers.extract import Style, extract
from doubleback.rewards.answers.grade import gold_answers
from doubleback.rewards.builtin.format import boxed_format, think_answer_format
from doubleback.rewards.checks.columns import TEXT_KEYS, checked_columns, require_read_by, stored_text
from doubleback.rewards.checks.golds import as_completion
from doubleback.rewards.compose.reward import Reward
from doubleback.rewards.contract.call import Samples, call_now
from doubleback.rewards.jsonl import Row, checked_rows, keys_in_words
from doubleback.rewards.rows import is_on_hub
from doubleback.rewards.sample_lines import PROBLEMS, is_truncated, judgement, read_problems, token_ids
from doubleback.rewards.types import Completion, ConfigError, Problem, Score

AHEAD = 256
"""Rows whose scoring has begun before the first of them is waited for."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A row with the completion that it holds and the problem that this answers."""

    row: Row
    problem: Problem
    completion: Completion


@dataclass(frozen=True, slots=True)
class Graded:
    """A stored completion and what the reward says of it."""

    stored: Stored
    score: Score
    format_ok: bool | None
    """Whether the completion keeps the form of its style exactly; None where none was asked for."""

    @property
    def text(self) -> str:
        """The completion."""
        return self.stored.completion.text

    def line(self) -> dict[str, Any]:
        """The row as it is written: the old columns, then the new ones. An advantage goes with the score it was of."""
        old = self.stored.row.data
        kept = {key: value for key, value in old.items() if key != "advantage" or "score" not in old}
        return {**kept, **judgement(self.score), "format_ok": self.format_ok, "seconds": self.score.seconds}


def problems_of(path: Path) -> tuple[Path, dict[str, Problem]]:
    """The folder of the run or the evaluation that a file of samples belongs to, and its problems by id.

    That is the folder with problems.jsonl: the file's own or the one above. Where there is none: its own, no problems.
    """
    for folder in () if is_on_hub(str(path)) else (path.parent, path.parent.parent):
        if (folder / PROBLEMS).exists():
            return folder, read_problems(folder)
    return path.parent, {}


def stored_completions(
    path: Path, rows: Sequence[Row], needs_answer: bool, reward: str = ""
) -> tuple[list[Stored], list[str]]:
    """Rows of `path` with `completion` (or `response`) as text or chat messages, and a line for each without one, or
    whose columns are not what `reward`, one that is built in, reads there.
    """
    folder, problems = problems_of(path)
    whole, findings = checked_rows(((row.number, row.data) for row in rows), str(path), [TEXT_KEYS])
    stored = []
    for row in whole:
        try:
            made = _stored(row, problems)
            if needs_answer:
                _require_answer(made)
            require_read_by(reward, made.problem.columns)
            stored.append(made)
        except KeyError as error:
            place = folder / PROBLEMS
            findings.append(f"{path}:{row.number}: problem {error} is not in {place}; rows of others go elsewhere")
        except ConfigError as error:
            findings.append(f"{path}:{row.number}: {error}")
    return stored, findings


def group_names(rows: Sequence[Row]) -> list[str]:
    """Which group each row is of: rows with one name are the samples of one problem.

    Rows name it by `problem`; else by `question` or `prompt` with the `answer`; else by `id`; else each is for itself.
    Rows of training name their `step` too: each time that a problem was sampled is a group, and where a step had it
    twice, the second sample of a number begins another.
    """
    names, num_before = [], Counter[Any]()
    for row in rows:
        name = _problem_name(row)
        if row.data.get("step") is not None:
            sample = (name, row.data["step"], row.data.get("sample"))
            name = f"{name} at step {row.data['step']}" + (f", {num_before[sample] + 1}" if num_before[sample] else "")
            num_before[sample] += row.data.get("sample") is not None
        names.append(name)
    return names


def regrade(stored: Sequence[Stored], reward: Reward, style: Style | None = None) -> Iterator[Graded]:
    """The completions with their scores, as they are known: in order, or where a component scores groups by group.

    `style` is the form of rows that name none. Of a group the problem is that of its first row. ConfigError where a
    component needs a column, or token ids, that the rows lack.
    """
    has_ids = all(item.completion.token_ids for item in stored)
    reward.require_columns([item.problem for item in stored], has_ids=has_ids)
    waiting: deque[tuple[Sequence[Stored], Callable[[], list[Score]]]] = deque()
    for group in _groups(stored) if reward.needs_group else ([item] for item in stored):
        waiting.append((group, reward.start(group[0].problem, [item.completion for item in group])))
        if len(waiting) > AHEAD:
            yield from _finished(*waiting.popleft(), style)
    while waiting:
        yield from _finished(*waiting.popleft(), style)


def verdict_counts(graded: Sequence[Graded]) -> dict[str, int]:
    """How often each verdict was given, the most frequent first."""
    return dict(Counter(str(item.score.verdict) for item in graded).most_common())


def verdict_changes(graded: Sequence[Graded]) -> dict[tuple[str, str], list[Graded]]:
    """(verdict of the row, verdict now) -> the completions, the most frequent change first; equal ones are left out."""
    changed: dict[tuple[str, str], list[Graded]] = defaultdict(list)
    for item in graded:
        before, now = str(item.stored.row.data.get("verdict")), str(item.score.verdict)
        if before != now:
            changed[before, now].append(item)
    return dict(sorted(changed.items(), key=lambda pair: -len(pair[1])))


def latency_percentiles(graded: Sequence[Graded], percentiles: Sequence[float]) -> dict[float, float]:
    """Seconds that so many per cent of the rows needed at most (nearest rank); NaN where none was timed."""
    times = sorted(item.score.seconds for item in graded if item.score.seconds is not None)
    if not times:
        return dict.fromkeys(percentiles, math.nan)
    return {share: times[max(0, math.ceil(share / 100 * len(times)) - 1)] for share in percentiles}


def slowest(graded: Sequence[Graded], number: int) -> list[Graded]:
    """The rows that took longest."""
    return sorted(graded, key=lambda item: -(item.score.seconds or 0.0))[:number]


def format_ok(text: str, style: Style) -> bool:
    """Whether the text keeps to a style exactly: the format rewards for tags and box, one clean marker for the rest."""
    rewards = {Style.THINK_ANSWER: think_answer_format, Style.BOXED: boxed_format}
    if style not in rewards:
        return extract(text, style).is_exact
    (score,) = call_now(rewards[style], Samples(("",), (text,)))
    return score is not None and score.value == 1.0


def _groups(stored: Sequence[Stored]) -> list[list[Stored]]:
    groups: dict[str, list[Stored]] = defaultdict(list)
    for name, item in zip(group_names([item.row for item in stored]), stored, strict=True):
        groups[name].append(item)
    return list(groups.values())


def _finished(group: Sequence[Stored], finish: Callable[[], list[Score]], style: Style | None) -> list[Graded]:
    return [Graded(item, score, _keeps_form(item, style)) for item, score in zip(group, finish(), strict=True)]


def _keeps_form(item: Stored, style: Style | None) -> bool | None:
    asked = item.row.data.get("style") or style
    return None if asked is None else format_ok(item.completion.text, Style(asked))


def _stored(row: Row, problems: Mapping[str, Problem]) -> Stored:
    """KeyError where the row names a problem that is not among those of its run; ConfigError where it is malformed."""
    columns = checked_columns(row.data)
    try:
        completion = _completion(row)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    is_ours = bool(problems) and "problem" in columns
    return Stored(row, problems[str(columns["problem"])] if is_ours else _problem(row.number, columns), completion)


def _problem(number: int, columns: dict[str, Any]) -> Problem:
    """The problem that the other columns of a row are. A style that is null is left out: the reward has one."""
    kept = {name: value for name, value in columns.items() if name not in (*TEXT_KEYS, "prompt")}
    if kept.get("style") is None:
        kept.pop("style", None)
    return Problem(f"line {number}", columns.get("prompt") or "", kept)


def _require_answer(stored: Stored) -> None:
    """ConfigError where the problem has no gold."""
    if (answer := stored.problem.columns.get("answer")) is None:
        is_ours = stored.row.data.get("problem") == stored.problem.id
        known = stored.problem.columns if is_ours else stored.row.data
        raise ConfigError(f"no 'answer'; the {'problem' if is_ours else 'row'} has {keys_in_words(known)}")
    gold_answers(answer)


def _problem_name(row: Row) -> str:
    data = row.data
    if data.get("problem") is not None:
        return str(data["problem"])
    if question := data.get("question") or data.get("prompt"):
        return str((question, data.get("answer")))
    return f"line {row.number}" if data.get("id") is None else str(data["id"])


def _completion(row: Row) -> Completion:
    """ValueError where what the row holds is no completion."""
    data = row.data
    known = {key: data[key] for key in ("policy_version", "seed") if isinstance(data.get(key), int)}
    return replace(as_completion(stored_text(data), bool(is_truncated(data))), token_ids=token_ids(data), **known)
