"""What an evaluation says: one summary of a samples file, whoever made the samples."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from statistics import quantiles
from types import MappingProxyType
from typing import Any

from doubleback.eval.judge import is_strictly_correct, obeys_thinking
from doubleback.eval.measures.measure import Measure
from doubleback.eval.measures.reflection import Reflection, summarise
from doubleback.eval.statistics.intervals import Estimate, clustered, interval
from doubleback.eval.statistics.passk import maj_at_k, pass_all_k, pass_at_k
from doubleback.rewards.answers.equality import normalise
from doubleback.rewards.answers.rational import parse_rational
from doubleback.rewards.sample_lines import Line, is_correct, is_truncated, num_tokens
from doubleback.rewards.types import UNUSABLE, ConfigError, Verdict

UNDEFINED: Mapping[str, float | None] = {"value": None, "low": None, "high": None}
MEASURES = ("format_rate", "cut_off_rate", "mean_tokens")
"""What a training step reports beside pass@k and the measures of its task."""
Estimates = dict[str, dict[str, float | None]]


def summary(
    lines: Sequence[Line],
    settings: Mapping[str, Any],
    ks: Sequence[int] = (),
    measures: Mapping[str, Measure] = MappingProxyType({}),
) -> dict[str, Any]:
    """What summary.json holds. Intervals of 95 %, over problems; Wilson's where there is one sample a problem.

    `lines` are those of `rewards.sample_lines`, with the columns of their problems, which `measures` read; problem
    and verdict are enough.
    `settings` go first, as they are. Samples without a verdict (timeout, grader_error) are counted, and left out of all
    that the reward says; tokens and cuts, which nobody judges, are those of all samples.
    pass@k and pass^k are given for every k that all problems have samples for; maj@k for `ks` and the largest of these.
    Each of `measures` is given under its name where every problem has what it reads. ConfigError where a k of `ks` is
    more than that; ValueError without lines.
    """
    if not lines:
        raise ValueError("a summary of no samples says nothing; give at least one line")
    problems = by_problem(lines)
    usable = [[line for line in group if line["verdict"] not in UNUSABLE] for group in problems]
    n = max(map(len, problems))
    least = min((len(group) for group in usable if group), default=0)
    if too_large := [k for k in ks if not 1 <= k <= n]:
        raise ConfigError(f"--k {too_large[0]} must be from 1 to {n}, the samples of a problem; drop it or raise --n")
    correct = [[is_correct(line) for line in group] for group in usable]
    every_k = range(1, least + 1)
    return {
        **settings,
        "num_problems": len(problems),
        "n": n,
        "pass_at_k": _curve(correct, every_k, pass_at_k),
        "pass_all_k": _curve(correct, every_k, pass_all_k),
        # A judge that names no answers leaves nothing to vote for.
        "maj_at_k": _majority(usable, correct, _voted(lines, ks, least)),
        "avg_at_n": _mean(usable, is_correct),
        "extraction": {
            "strict": _mean(usable, is_strictly_correct),
            "flexible": _mean(usable, is_correct),
        },
        "verdicts": {str(verdict): _share(lines, verdict) for verdict in Verdict},
        "format_rate": _mean(usable, lambda line: line.get("parts", {}).get("format")),
        "no_answer_rate": _mean(usable, lambda line: line["verdict"] == Verdict.NO_ANSWER),
        "unusable_rate": _mean(problems, lambda line: line["verdict"] in UNUSABLE),
        "cut_off_rate": _mean(problems, is_truncated),
        "mean_tokens": _mean(problems, num_tokens),
        "tokens": _percentiles([num for num in map(num_tokens, lines) if num is not None]),
        "obeys_thinking": _mean(usable, obeys_thinking),
        **_banned(problems, settings.get("ban")),
        "reflection_phrases": _reflection(lines),
        **_measured(usable, measures),
    }


def headline(summary: Mapping[str, Any], ks: Sequence[int]) -> dict[str, float]:
    """The values of a summary that a training step reports, as eval/SUITE/NAME: pass@k of each k, and the measures;
    whether completions obey their mode of thinking where one was asked for.

    NaN where undefined, as pass@k is where a problem has fewer than k samples that could be judged.
    """
    named = {f"pass@{k}": summary["pass_at_k"].get(str(k), UNDEFINED) for k in ks}
    of_the_task = [name for name in summary["measures"] if "value" in summary[name]]
    obeys = ["obeys_thinking"] if summary["obeys_thinking"]["value"] is not None else []
    named |= {name: summary[name] for name in (*MEASURES, *obeys, *of_the_task)}
    values = {name: estimate["value"] for name, estimate in named.items()}
    return {f"eval/{summary['suite']}/{name}": math.nan if it is None else it for name, it in values.items()}


def by_problem(lines: Iterable[Line]) -> list[list[Line]]:
    """The samples of each problem; problems in the order in which they first appear."""
    ordered = sorted(enumerate(lines), key=lambda pair: pair[0])
    first: dict[str, int] = {}
    for position, line in ordered:
        first.setdefault(str(line["problem"]), position)
    by_first = sorted((line for _, line in ordered), key=lambda line: first[str(line["problem"])])
    return [list(group) for _, group in groupby(by_first, key=lambda line: str(line["problem"]))]


def _banned(problems: Sequence[Sequence[Line]], words: Sequence[str] | None) -> dict[str, Any]:
    """How often a word was said that the policy may not say as one token: a vocabulary of sub-words may spell it."""
    if not words:
        return {}
    said = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)")
    return {"banned_rate": _mean(problems, lambda line: said.search(line.get("completion") or "") is not None)}


def _voted(lines: Sequence[Line], ks: Sequence[int], least: int) -> list[int]:
    has_answers = any(line.get("extracted") is not None for line in lines)
    return sorted({*(k for k in ks if k <= least), least}) if has_answers and least else []


def vote(line: Line) -> str | None:
    """What a sample votes for: equal numbers and equal texts but for notation are one answer; None is no answer."""
    extracted = line.get("extracted")
    if extracted is None:
        return "(right)" if is_correct(line) else None
    value = parse_rational(extracted)
    return str(value) if value is not None else normalise(extracted)


def as_json(estimate: Estimate) -> dict[str, float | None]:
    """value, low, high; undefined is null."""
    values = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def _curve(
    correct: Sequence[Sequence[bool]], ks: Iterable[int], estimator: Callable[[int, int, int], float]
) -> Estimates:
    is_single = all(len(group) == 1 for group in correct if group)
    return {
        str(k): as_json(
            interval([estimator(len(group), sum(group), k) if group else math.nan for group in correct], is_single)
        )
        for k in ks
    }


def _majority(usable: Sequence[Sequence[Line]], correct: Sequence[Sequence[bool]], ks: Sequence[int]) -> Estimates:
    pairs = list(zip(usable, correct, strict=True))
    is_single = all(len(group) == 1 for group in usable if group)
    return {
        str(k): as_json(
            interval(
                [maj_at_k([vote(it) for it in group], right, k) if group else math.nan for group, right in pairs],
                is_single,
            )
        )
        for k in ks
    }


def _mean(problems: Sequence[Sequence[Line]], measure: Callable[[Line], Any]) -> dict[str, float | None]:
    """Mean over problems of the mean over samples; null where nothing was measured."""
    values = [_average([float(it) for it in map(measure, group) if it is not None]) for group in problems]
    return as_json(interval(values, all(len(group) == 1 for group in problems if group)))


def _share(lines: Sequence[Line], verdict: Verdict) -> float:
    return sum(bool(line["verdict"] == verdict) for line in lines) / len(lines)


def _percentiles(values: Sequence[int]) -> dict[str, float | None]:
    if len(values) < 2:
        return {"p50": values[0] if values else None, "p90": None, "max": max(values, default=None)}
    cuts = quantiles(values, n=10, method="inclusive")
    return {"p50": cuts[4], "p90": cuts[8], "max": max(values)}


def _reflection(lines: Sequence[Line]) -> dict[str, Any] | None:
    judged = [line for line in lines if line.get("completion") is not None and line["verdict"] not in UNUSABLE]
    if not judged:
        return None
    reflection: Reflection = summarise([line["completion"] for line in judged], [is_correct(line) for line in judged])
    names = type(reflection).__dataclass_fields__
    values = {name: getattr(reflection, name) for name in names}
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def _measured(problems: Sequence[Sequence[Line]], measures: Mapping[str, Measure]) -> dict[str, Any]:
    """The measures that apply, by name: an estimate, or one for all, right and wrong; `measures` has their labels."""
    lines = [line for group in problems for line in group]
    fitting = {
        name: measure for name, measure in measures.items() if lines and all(measure.fits(line) for line in lines)
    }
    # Line by line, so that what several measures share of one completion is computed once.
    valued = [
        [(is_correct(line), {name: it.of(line, line["completion"]) for name, it in fitting.items()}) for line in group]
        for group in problems
    ]
    is_single = all(len(group) == 1 for group in problems if group)

    def mean(name: str, wanted: bool | None = None) -> dict[str, float | None]:
        values = [[float(of[name]) for right, of in group if wanted in (None, right)] for group in valued]
        means = [_average([value for value in group if not math.isnan(value)]) for group in values]
        return as_json(clustered(means) if fitting[name].by_verdict else interval(means, is_single))

    def estimates(name: str, measure: Measure) -> dict[str, Any]:
        wanted_verdicts: dict[str, bool | None] = {"all": None, "right": True, "wrong": False}
        return (
            {part: mean(name, wanted) for part, wanted in wanted_verdicts.items()} if measure.by_verdict else mean(name)
        )

    return {
        **{name: estimates(name, measure) for name, measure in fitting.items()},
        "measures": {name: measure.label for name, measure in fitting.items()},
    }


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
