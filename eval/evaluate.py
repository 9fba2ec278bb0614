"""Measure a policy on held-out problems: sample, judge, meter the backtracking, put an interval around everything."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from doubleback.eval.measures.backtracking import replay
from doubleback.eval.statistics.intervals import Estimate, clustered
from doubleback.eval.statistics.passk import pass_at_k
from doubleback.eval.summary import interval
from doubleback.rewards.types import UNUSABLE, Completion, Problem, Score, Verdict
from doubleback.rl.engines.engine import Sampler
from doubleback.rl.rollout.scoring import Scorer, Scoring
from doubleback.rl.seeds import sample_seed
from doubleback.rl.types import Group, Sampling

Measure = Callable[[Problem, Completion, Score], float]


def _has_format(problem: Problem, completion: Completion, score: Score) -> float:
    return score.parts.get("format", math.nan)


def _is_cut_off(problem: Problem, completion: Completion, score: Score) -> float:
    return float(completion.is_truncated)


def _num_tokens(problem: Problem, completion: Completion, score: Score) -> float:
    return float(len(completion.token_ids))


def _backtracks(problem: Problem, completion: Completion, score: Score) -> float:
    return float(_replay(problem, completion).is_verified_backtrack)


def _has_arithmetic_error(problem: Problem, completion: Completion, score: Score) -> float:
    return float(_replay(problem, completion).num_arithmetic_errors > 0)


def _has_false_check(problem: Problem, completion: Completion, score: Score) -> float:
    return float(_replay(problem, completion).num_false_checks > 0)


def _replay(problem: Problem, completion: Completion) -> Any:
    return replay(completion.text, problem.columns["numbers"], problem.columns["target"])


MEASURES: dict[str, Measure] = {
    "format_rate": _has_format,
    "truncated_rate": _is_cut_off,
    "mean_tokens": _num_tokens,
}
"""Name -> value of one completion; reported as the mean over problems of the mean over samples."""
COUNTDOWN_MEASURES: dict[str, Measure] = {
    "verified_backtrack": _backtracks,
    "arithmetic_error_rate": _has_arithmetic_error,
    "false_check_rate": _has_false_check,
}
"""Those that replay the state of a countdown, for problems that have `numbers` and a `target`."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One policy on one set of problems."""

    suite: str
    step: int
    adapter_hash: str
    n: int
    groups: tuple[Group, ...]
    """Scored groups, in problem order."""
    pass_at_k: Mapping[int, Estimate]
    measures: Mapping[str, Estimate]

    def summary(self) -> dict[str, Any]:
        """What eval/*.json holds. Intervals of 95 %: a bootstrap over problems, Wilson's for one sample a problem."""
        return {
            "suite": self.suite,
            "step": self.step,
            "adapter_hash": self.adapter_hash,
            "num_problems": len(self.groups),
            "n": self.n,
            "pass_at_k": {str(k): _as_json(estimate) for k, estimate in self.pass_at_k.items()},
            **{name: _as_json(estimate) for name, estimate in self.measures.items()},
        }

    def metrics(self) -> dict[str, float]:
        """The values alone, as eval/SUITE/NAME."""
        named = {f"pass@{k}": estimate for k, estimate in self.pass_at_k.items()} | dict(self.measures)
        return {f"eval/{self.suite}/{name}": estimate.value for name, estimate in named.items()}


def evaluate(
    engine: Sampler,
    problems: Sequence[Problem],
    reward: Scorer,
    sampling: Sampling,
    ks: Sequence[int],
    *,
    suite: str,
    step: int,
    seed: int,
) -> Evaluation:
    """Sample `sampling.group_size` completions per problem from the policy in the engine and measure them.

    The seeds depend on the suite and the problem, not on the step: before and after use the same random numbers, which
    narrows the interval of their difference.
    """
    seeds = [sample_seed(seed, f"eval {suite}", problem.id) for problem in problems]
    scoring = Scoring(reward)
    groups = tuple(scoring.finish(engine.sample(problems, sampling, seeds, on_group=scoring.start)))
    # What could not be judged enters no statistic: a problem has as many samples as have a verdict.
    judged = [[item.verdict for item in group.scores if item.verdict not in UNUSABLE] for group in groups]
    n = sampling.group_size
    is_countdown = all({"numbers", "target"} <= set(problem.columns) for problem in problems)
    measures = MEASURES | (COUNTDOWN_MEASURES if is_countdown else {})
    return Evaluation(
        suite=suite,
        step=step,
        adapter_hash=groups[0].completions[0].adapter_hash,
        n=n,
        groups=groups,
        pass_at_k={k: interval([_pass_at_k(verdicts, k) for verdicts in judged], is_single=n == 1) for k in ks},
        measures={name: clustered([_mean(group, measure) for group in groups]) for name, measure in measures.items()},
    )


def _pass_at_k(verdicts: Sequence[Verdict], k: int) -> float:
    """NaN where fewer than k samples could be judged."""
    return pass_at_k(len(verdicts), verdicts.count(Verdict.CORRECT), k) if len(verdicts) >= k else math.nan


def _mean(group: Group, measure: Measure) -> float:
    scored = zip(group.completions, group.scores, strict=True)
    return fmean(measure(group.problem, completion, item) for completion, item in scored)


def _as_json(estimate: Estimate) -> dict[str, float | None]:
    values = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: None if math.isnan(value) else value for name, value in values.items()}
