"""Grade stored completions again: rows of JSON in, the same rows with a score out. See `doubleback score`."""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from doubleback.rewards.answers.extract import Style, completion_text, extract
from doubleback.rewards.answers.grade import gold_answers
from doubleback.rewards.builtin.format import boxed_format, think_answer_format
from doubleback.rewards.checks.golds import as_completion
from doubleback.rewards.compose.reward import Reward
from doubleback.rewards.contract.call import Samples, call_now
from doubleback.rewards.jsonl import Row, read_rows, refuse
from doubleback.rewards.settings import nearest
from doubleback.rewards.types import Completion, ConfigError, Problem, Score

AHEAD = 256
"""Rows whose scoring has begun before the first of them is waited for."""
_TEXT_KEYS = ("completion", "response")


@dataclass(frozen=True, slots=True)
class Graded:
    """A row and what the reward says of it."""

    row: Row
    score: Score
    format_ok: bool
    """Whether the completion keeps the form of its style exactly."""

    def line(self) -> dict[str, Any]:
        """The row as it is written: the old columns, then the new ones."""
        return {
            **self.row.data,
            "score": self.score.value,
            "verdict": self.score.verdict,
            "extracted": self.score.extracted,
            "parts": dict(self.score.parts),
            "detail": self.score.detail,
            "format_ok": self.format_ok,
            "seconds": self.score.seconds,
        }


def read_completions(
    path: Path, needs_answer: bool, convert: Callable[[list[Row]], list[Row]] | None = None
) -> list[Row]:
    """Rows with `completion` (or `response`) as text or chat messages. ConfigError names each line that is not one.

    `convert` brings rows of another system into this form.
    """
    required = [_TEXT_KEYS, *([("answer",)] if needs_answer else [])]
    rows = convert(read_rows(path)) if convert else read_rows(path, required)
    known = [str(style) for style in Style]
    problems = []
    for row in rows:
        style = row.data.get("style")
        if style is not None and style not in known:
            problems.append(f"{path}:{row.number}: style={style!r}; {nearest(str(style), known)}")
        try:
            completion_of(row)
        except (TypeError, KeyError, IndexError, AttributeError):
            problems.append(f"{path}:{row.number}: the completion is neither text nor a list of chat messages")
        if needs_answer:
            try:
                gold_answers(row.data["answer"])
            except ConfigError as error:
                problems.append(f"{path}:{row.number}: {error}")
    refuse(problems)
    return rows


def regrade(rows: Sequence[Row], reward: Reward) -> Iterator[Graded]:
    """The rows with their scores, in order, as they are known.

    Where a component scores groups, rows of one prompt and answer that follow each other are a group, with the other
    columns of the first. ConfigError where a component needs a column, or token ids, that the rows lack.
    """
    has_ids = all(_ids(row) for row in rows)
    reward.require_columns([_problem(row) for row in rows], has_ids=has_ids)
    waiting: deque[tuple[list[Row], Callable[[], list[Score]]]] = deque()
    for _, grouped in groupby(rows, key=_prompt_and_answer if reward.needs_group else _number):
        group = list(grouped)
        completions = [_completion(row) for row in group]
        waiting.append((group, reward.start(_problem(group[0]), completions)))
        if len(waiting) > AHEAD:
            yield from _finished(*waiting.popleft())
    while waiting:
        yield from _finished(*waiting.popleft())


def verdict_counts(graded: Sequence[Graded]) -> dict[str, int]:
    """How often each verdict was given, the most frequent first."""
    return dict(Counter(str(item.score.verdict) for item in graded).most_common())


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


def _finished(group: Sequence[Row], finish: Callable[[], list[Score]]) -> list[Graded]:
    return [
        Graded(row, score, format_ok(completion_of(row), Style(row.data.get("style") or Style.FLEXIBLE)))
        for row, score in zip(group, finish(), strict=True)
    ]


def _problem(row: Row) -> Problem:
    columns = {name: value for name, value in row.data.items() if name not in (*_TEXT_KEYS, "prompt", "style")}
    if row.data.get("style") is not None:
        columns["style"] = Style(row.data["style"])
    prompt = row.data.get("prompt")
    return Problem(f"line {row.number}", completion_text(prompt) if prompt else "", columns)


def completion_of(row: Row) -> str:
    """The text of a row's completion. TypeError, KeyError or IndexError where it is none."""
    text = completion_text(next(row.data[key] for key in _TEXT_KEYS if row.data.get(key) is not None))
    if not isinstance(text, str):
        raise TypeError
    return text


def _ids(row: Row) -> tuple[int, ...]:
    """The tokens as TRL (`completion_ids`) or a rollout file of ours (`token_ids`) has them; else none."""
    return tuple(row.data.get("completion_ids") or row.data.get("token_ids") or ())


def _completion(row: Row) -> Completion:
    is_cut = bool(row.data.get("truncated")) or row.data.get("finish_reason") == "length"
    return replace(as_completion(completion_of(row), is_cut), token_ids=_ids(row))


def _number(row: Row) -> Any:
    return row.number


def _prompt_and_answer(row: Row) -> Any:
    prompt = row.data.get("prompt")
    return (repr(prompt), repr(row.data.get("answer"))) if prompt else row.number
