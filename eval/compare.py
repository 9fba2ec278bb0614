"""Two evaluations of the same problems, paired: what changed, how surely, and where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doubleback.eval.statistics.equal_tokens import EqualTokens, Tried, at_equal_tokens
from doubleback.eval.statistics.intervals import Estimate
from doubleback.eval.statistics.paired import PairedDifference, paired_difference
from doubleback.eval.statistics.price import points_per_100_tokens
from doubleback.eval.summarise import by_problem
from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.records import read_record, records
from doubleback.rewards.sample_lines import Line, is_correct, num_tokens
from doubleback.rewards.settings import read_yaml, require_folder
from doubleback.rewards.types import UNUSABLE, ConfigError
from doubleback.rl.run.names import EVALUATIONS, INPUTS, RECIPE, SAMPLES_END, is_run, newest_run

SAMPLES, SUMMARY = "samples.jsonl", "summary.json"
AGAIN = "evaluate again, with doubleback eval"
MUST_AGREE = ("suite", "data_sha256", "prompt", "prompt_sha256", "n", "temperature", "max_tokens")
"""What a paired comparison takes for granted."""
MAY_DIFFER = ("thinking", "ban", "seed")
"""What is named where it differs, and no reason to refuse: thinking on and off, with and without a word."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One evaluation on disk."""

    path: Path
    summary: Mapping[str, Any]
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Flip:
    """A problem whose share of right samples changed."""

    problem: str
    first: float
    second: float


@dataclass(frozen=True, slots=True)
class ComparedEvaluations:
    """B minus A."""

    num_problems: int
    """Problems that both have."""
    differs: Mapping[str, tuple[Any, Any]]
    """What of MAY_DIFFER does: its value in A, in B."""
    pass_at_1: PairedDifference
    tokens: PairedDifference
    equal_tokens: EqualTokens
    """pass@1 of the one with longer completions against pass@k of the other, at as many tokens a problem."""
    is_second_longer: bool
    """Whether B is the one with longer completions."""
    only_first: int
    only_second: int
    """n = 1: problems that only A, only B got right."""
    flips: tuple[Flip, ...]
    """Largest change first."""


@dataclass(frozen=True, slots=True)
class ComparedModes:
    """Thinking on minus off."""

    num_problems: int
    """Problems that both have."""
    accuracy: PairedDifference
    tokens: PairedDifference
    price: Estimate
    """Points of accuracy per 100 tokens of thinking."""


@dataclass(frozen=True, slots=True)
class _Paired:
    """Two sets of samples of the same problems; one value a problem each."""

    common: Sequence[str]
    n: int
    rates: tuple[Sequence[float], Sequence[float]]
    tokens: tuple[Sequence[float], Sequence[float]]
    tried: tuple[Sequence[Tried], Sequence[Tried]]


def load_evaluated(path: Path) -> Evaluated:
    """What `doubleback eval` wrote into a folder; of a run its newest measurement of the test problems.

    ConfigError where it is not there, or not finished.
    """
    require_folder(path, "")
    if is_run(run := newest_run(path)):
        return _tested(run)
    if not (path / SUMMARY).exists():
        raise ConfigError(f"{path} holds no finished evaluation (no {SUMMARY}); run doubleback eval")
    lines = complete_lines(path / SAMPLES)
    if not lines:
        raise ConfigError(f"{path / SAMPLES} holds no samples; {AGAIN}")
    return Evaluated(path, read_record(path / SUMMARY, AGAIN), lines)


def _tested(run: Path) -> Evaluated:
    """What two runs must agree on is in their recipes and inputs."""
    if not (summaries := sorted((run / EVALUATIONS).glob("test-step-*.json"))):
        raise ConfigError(f"{run} is a run that has not been measured on its test problems; train it further")
    newest, recipe = summaries[-1], records(read_yaml(run / RECIPE, "recipe"), run / RECIPE)
    settings = {
        "data_sha256": read_record(run / INPUTS)["the set of test problems"],
        "prompt": recipe["task"]["prompt"],
        **{key: recipe["sampling"][key] for key in ("temperature", "max_tokens")},
    }
    lines = complete_lines(newest.with_name(f"{newest.stem}{SAMPLES_END}"))
    return Evaluated(run, {**read_record(newest), **settings}, lines)


def compare(first: Evaluated, second: Evaluated, force: bool = False) -> ComparedEvaluations:
    """The paired comparison. ConfigError where data, prompt or sampling differ, unless `force`; always where no problem
    is common to both.
    """
    lines = [
        f"{key} is {first.summary.get(key)!r} in {first.path} and {second.summary.get(key)!r} in {second.path}"
        for key in MUST_AGREE
        if first.summary.get(key) != second.summary.get(key)
    ]
    if lines and not force:
        lines[-1] += "; these are not two answers to one question (--force compares all the same)"
        raise ConfigError("\n".join(lines))
    paired = _paired(first.lines, second.lines)
    if not paired.common:
        raise ConfigError(f"{first.path} and {second.path} have no problem in common")
    common, n, rates, tokens = paired.common, paired.n, paired.rates, paired.tokens
    spent = paired_difference(*tokens, max(n, 2))
    is_second_longer = spent.difference.value > 0
    searcher, guesser = reversed(paired.tried) if is_second_longer else paired.tried
    settings = [(key, first.summary.get(key), second.summary.get(key)) for key in MAY_DIFFER]
    flips = [Flip(name, a, b) for name, a, b in zip(common, *rates, strict=True) if a != b and a == a and b == b]
    return ComparedEvaluations(
        num_problems=len(common),
        differs={key: (a, b) for key, a, b in settings if a != b},
        pass_at_1=paired_difference(rates[0], rates[1], n),
        tokens=spent,
        equal_tokens=at_equal_tokens(searcher, guesser),
        is_second_longer=is_second_longer,
        only_first=sum(flip.first > flip.second for flip in flips),
        only_second=sum(flip.first < flip.second for flip in flips),
        flips=tuple(sorted(flips, key=lambda flip: -abs(flip.second - flip.first))),
    )


def paired_change(before: Sequence[Line], after: Sequence[Line]) -> PairedDifference | None:
    """pass@1 after minus before, paired by problem. None where no problem is common to both."""
    paired = _paired(before, after)
    return paired_difference(*paired.rates, paired.n) if paired.common else None


def compare_modes(on: Sequence[Line], off: Sequence[Line]) -> ComparedModes | None:
    """What thinking brings and costs: the samples of one policy that thought against those that did not, paired by
    problem. None where no problem is common to both.
    """
    paired = _paired(off, on)
    if not paired.common:
        return None
    gains, costs = ([b - a for a, b in zip(*values, strict=True)] for values in (paired.rates, paired.tokens))
    return ComparedModes(
        num_problems=len(paired.common),
        accuracy=paired_difference(*paired.rates, paired.n),
        tokens=paired_difference(*paired.tokens, max(paired.n, 2)),
        price=points_per_100_tokens(gains, costs),
    )


def _paired(first: Sequence[Line], second: Sequence[Line]) -> _Paired:
    groups = [{str(group[0]["problem"]): group for group in by_problem(lines)} for lines in (first, second)]
    common = [name for name in groups[0] if name in groups[1]]
    n = max((len(group[name]) for group in groups for name in common), default=0)

    def rates(index: int) -> list[float]:
        return [_mean([is_correct(line) for line in _usable(groups[index][name])]) for name in common]

    def tokens(index: int) -> list[float]:
        return [_mean_tokens(groups[index][name]) for name in common]

    def tried(index: int) -> list[Tried]:
        return [_tried(groups[index][name]) for name in common]

    return _Paired(common, n, (rates(0), rates(1)), (tokens(0), tokens(1)), (tried(0), tried(1)))


def _usable(group: Sequence[Line]) -> list[Line]:
    return [line for line in group if line["verdict"] not in UNUSABLE]


def _tried(group: Sequence[Line]) -> Tried:
    usable = _usable(group)
    return Tried(len(usable), sum(map(is_correct, usable)), _mean_tokens(group))


def _mean_tokens(group: Sequence[Line]) -> float:
    return _mean([num for num in map(num_tokens, group) if num is not None])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
