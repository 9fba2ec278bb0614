"""What several graders say of one completion, and by which rule: what a user needs to argue with ours.

`strict` and `flexible` are `math`, told where to look: in the form that was asked for, and in any. `math-verify` is
that package called directly, as most code does, but in a worker that can be killed. `ours` is the reward asked for.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from doubleback.rewards.answers.extract import Style
from doubleback.rewards.answers.grade import gold_answers
from doubleback.rewards.builtin.math import MathCorrect
from doubleback.rewards.checks.regrade import Graded
from doubleback.rewards.contract.call import Results, Samples
from doubleback.rewards.types import Score, Verdict
from doubleback.rewards.workers.messages import FunctionSpec, Limits
from doubleback.rewards.workers.pool import SYMBOLIC, WorkerPool

STRICT, FLEXIBLE, MATH_VERIFY, OURS = "strict", "flexible", "math-verify", "ours"
GRADERS = (STRICT, FLEXIBLE, MATH_VERIFY, OURS)
DIRECTLY = FunctionSpec(MATH_VERIFY, f"{__name__}:MathVerifyDirectly", {}, MATH_VERIFY, is_warm=True)
"""For a pool of workers."""


class MathVerifyDirectly:
    r"""1.0 where math-verify finds the gold in the completion, by its defaults: `verify(parse(gold), parse(text))`.

    The gold is given as `\boxed{gold}`, for it loses many that are bare. Its own time limits are off, since they use
    SIGALRM: a worker has one.
    """

    def __init__(self) -> None:
        logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its time limits are off
        _directly("1+x", "x+1")  # a second of imports: part of loading, not of the first answer

    def scores(self, completions: Sequence[str], answer: Sequence[Any], **columns: Any) -> list[Score]:
        """What it says of each completion."""
        return [_directly(text, gold_answers(gold)[0]) for text, gold in zip(completions, answer, strict=True)]

    def __call__(self, completions: Sequence[str], answer: Sequence[Any], **columns: Any) -> list[float | None]:
        """A value per completion, by TRL's signature."""
        return [score.value for score in self.scores(completions, answer)]


def _directly(completion: str, answer: str) -> Score:
    from math_verify import parse, verify

    gold = parse(rf"\boxed{{{answer}}}", parsing_timeout=None)
    found = parse(completion, parsing_timeout=None)
    if not gold:
        return Score(None, Verdict.GRADER_ERROR, detail="it cannot parse the gold")
    if not found:
        return Score(0.0, Verdict.NO_ANSWER, detail="it finds nothing that it can parse")
    is_right = bool(verify(gold, found, timeout_seconds=None))
    detail = f"{found[0]} {'is' if is_right else 'is not'} {gold[0]}"
    return Score(float(is_right), Verdict.CORRECT if is_right else Verdict.WRONG, str(found[-1]), detail=detail)


@dataclass(frozen=True, slots=True)
class Explained:
    """One graded row, and what each of the graders says of it."""

    graded: Graded
    scores: Mapping[str, Score]
    """By the names of `GRADERS`."""

    @property
    def differs(self) -> bool:
        """Whether one says right and another does not."""
        return len({score.verdict == Verdict.CORRECT for score in self.scores.values()}) > 1

    @property
    def kind(self) -> tuple[str, ...]:
        """The verdicts in the order of `GRADERS`, and the rule of ours."""
        return (*(str(self.scores[name].verdict) for name in GRADERS), self.scores[OURS].detail)

    def line(self) -> dict[str, Any]:
        """What stands in a file of explained rows."""
        said = {
            name: {"answer": score.extracted, "verdict": score.verdict, "rule": score.detail}
            for name, score in self.scores.items()
        }
        row = self.graded.stored
        return {"line": row.row.number, "completion": row.completion.text, "answer": answer_of(self.graded), **said}


def answer_of(graded: Graded) -> Any:
    """The gold of a row; None where it has none."""
    return graded.stored.problem.columns.get("answer")


def explain(graded: Sequence[Graded], strict: Style, timeout_seconds: float) -> Iterator[Explained]:
    """The rows, each with what all four say. `strict`: the form of rows that name none in a column `style`.

    ConfigError for a row without a gold.
    """
    limits = Limits(timeout_seconds=timeout_seconds)
    with WorkerPool((SYMBOLIC, DIRECTLY), limits) as pool:
        pool.ready()
        flexible = MathCorrect(Style.FLEXIBLE)
        flexible.use(pool)
        waiting = []
        for item in graded:
            asked_for = MathCorrect(Style(item.stored.row.data.get("style") or strict))
            asked_for.use(pool)
            samples = _samples(item)
            directly = pool.submit(MATH_VERIFY, samples)
            waiting.append((item, asked_for.start(samples), flexible.start(samples), directly))
        for item, strictly, flexibly, directly in waiting:
            results = (strictly(), flexibly(), pool.result(directly))
            yield Explained(item, _named(results, item.score))


def disagreements(explained: Sequence[Explained]) -> list[tuple[tuple[str, ...], int]]:
    """(`Explained.kind`, how many) of the rows that differ, the most frequent first."""
    return Counter(item.kind for item in explained if item.differs).most_common()


def _named(results: Sequence[Results], ours: Score) -> dict[str, Score]:
    nothing = Score(None, Verdict.GRADER_ERROR, detail="does not apply here")
    return dict(zip(GRADERS, (*(scores[0] or nothing for scores in results), ours), strict=True))


def _samples(graded: Graded) -> Samples:
    """A row as `math` reads it, but for its style."""
    problem = graded.stored.problem
    columns = {name: [value] for name, value in problem.columns.items() if name != "style"}
    return Samples((problem.prompt,), (graded.text,), columns)
