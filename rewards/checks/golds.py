"""Golds are graded first: a gold that its own verifier rejects would punish every right answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from doubleback.rewards.answers.equality import bare_value, compare
from doubleback.rewards.answers.grade import gold_answers
from doubleback.rewards.compose.reward import Reward
from doubleback.rewards.contract.call import Samples
from doubleback.rewards.types import Completion, ConfigError, Problem, Score, Verdict
from doubleback.rewards.workers.pool import WorkerPool, symbolic_pool

MAX_LISTED = 5
"""Golds in one message."""


@dataclass(frozen=True, slots=True)
class Unscorable:
    """A problem whose own gold is not graded correct."""

    problem: Problem
    gold: str
    """The completion that states it."""
    score: Score


def unscorable(
    problems: Sequence[Problem],
    golds: Mapping[str, str],
    reward: Reward,
    observe: Callable[[float], None] = lambda share: None,
) -> list[Unscorable]:
    """The problems whose gold is rejected. `golds`: problem id -> a completion that states the gold.

    `observe` is told how much is done: half of it is beginning, which is all where the reward runs here, half waiting.
    """
    waiting, judged = [], []
    for number, problem in enumerate(problems, 1):
        waiting.append((problem, reward.start(problem, [as_completion(golds[problem.id])])))
        observe(number / len(problems) / 2)
    for number, (problem, finish) in enumerate(waiting, 1):
        judged.append((problem, finish()[0]))
        observe((1 + number / len(problems)) / 2)
    return [Unscorable(it, golds[it.id], score) for it, score in judged if score.verdict != Verdict.CORRECT]


def as_completion(text: str, is_truncated: bool = False) -> Completion:
    """A completion that no engine made."""
    reason = "length" if is_truncated else "stop"
    return Completion(text, (), (), reason, policy_version=0, adapter_hash="", seed=0)


def listed(rejected: Sequence[Unscorable]) -> list[str]:
    """A line for each of the first, and one for the others."""
    lines = [
        f"problem {it.problem.id}: its own gold is graded {it.score.verdict} ({it.score.detail})"
        for it in rejected[:MAX_LISTED]
    ]
    return [*lines, f"... and {len(rejected) - MAX_LISTED} more"] if len(rejected) > MAX_LISTED else lines


def refuse_unscorable(rejected: Sequence[Unscorable], way_out: str) -> None:
    """ConfigError that lists them, with the way out."""
    if rejected:
        lines = listed(rejected)
        raise ConfigError("\n".join([*lines[:-1], f"{lines[-1]}; {way_out}"]))


def matched_as_text_only(answers: Sequence[Any], pool: WorkerPool | None = None) -> list[int]:
    """The rows whose gold no stage but the first can read: a right answer that is written otherwise is lost.

    `answers` as `gold_answers` takes them. Rational values are read here, the rest by math-verify in a worker.
    """
    pool = pool or symbolic_pool()
    verdicts: list[Any] = []
    for answer in answers:
        gold = gold_answers(answer)[0]
        comparison = compare(gold, gold, by_text=False)
        if comparison.is_equal is None:
            bare = bare_value(gold)
            verdicts.append(pool.submit("symbolic", Samples(("",), (bare,), {"golds": [[bare]]})))
        else:
            verdicts.append(comparison.is_equal)
    return [row for row, verdict in enumerate(verdicts) if not _is_read(verdict, pool)]


def _is_read(verdict: Any, pool: WorkerPool) -> bool:
    if isinstance(verdict, bool):
        return verdict
    (score,) = pool.result(verdict)
    return score is not None and score.verdict == Verdict.CORRECT
