"""Is the answer to a mathematical question right? The reward `math`, and the metric of every evaluation of it."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from doubleback.rewards.answers.extract import Style
from doubleback.rewards.answers.grade import Undecided, grade_cheaply
from doubleback.rewards.answers.messages import Messages, completion_text
from doubleback.rewards.answers.thinking import thinking_of
from doubleback.rewards.contract.call import Results, Samples
from doubleback.rewards.contract.functions import value_of
from doubleback.rewards.nearest import nearest
from doubleback.rewards.types import UNUSABLE, ConfigError, Score
from doubleback.rewards.workers.pool import WorkerPool, symbolic_pool


class MathCorrect:
    """1.0 where the one answer that a completion commits itself to equals the gold, else 0.0.

    The answer is looked for behind the thinking (`rewards.answers.thinking` has the conventions; a prompt may have
    opened it, and the column `thinking_convention` name another), in the given style (`rewards.answers.extract.Style`;
    a column `style` has precedence), and compared in stages: exact text, exact rational number, then math-verify
    (github.com/huggingface/Math-Verify) in a killable process. Column `answer` is the gold: text, a number, a GSM8K
    solution with `####`, or a list of which any is right.
    An answer copied from the question is wrong; the question is the column `question`, or else the prompt.

    Verdicts: correct, wrong (hedges too), no_answer, bad_format, timeout, grader_error. `detail` is "stage: rule"; a
    stage is extraction, guard, text, rational, symbolic or worker.
    Failure cases: a gold that math-verify cannot parse is matched as text alone (`doubleback check` lists those); an
    unevaluated `8 * 9` for 72 is wrong by intention, as is another unit. TRL's reward signature.
    """

    required_columns = ("answer",)

    def __init__(self, style: str = "flexible") -> None:
        styles = [str(each) for each in Style]
        if style not in styles:
            raise ConfigError(f"math: there is no answer style {style!r}; {nearest(str(style), styles)}")
        self._style = Style(style)
        self._pool: WorkerPool | None = None
        self.__name__ = "math"

    def use(self, pool: WorkerPool) -> None:
        """Ask this pool, which has loaded `isolate.SYMBOLIC`, instead of the pool of the process."""
        self._pool = pool

    def start(self, samples: Samples) -> Callable[[], Results]:
        """Decide what is cheap, send the rest to the workers; the returned function waits for them."""
        columns = samples.columns
        size = len(samples.completions)
        questions = columns.get("question", samples.prompts)
        styles = columns.get("style", [self._style] * size)
        conventions = columns.get("thinking_convention", [None] * size)
        modes = columns.get("thinking", [None] * size)
        thinking = map(thinking_of, samples.prompts, conventions, modes)
        truncated = columns.get("is_truncated", [False] * size)
        rows = zip(samples.completions, columns["answer"], styles, questions, thinking, truncated, strict=True)
        judged = [grade_cheaply(*row) for row in rows]
        asked: dict[tuple[str, tuple[str, ...]], Future[Results]] = {}
        for item in judged:
            if isinstance(item, Undecided) and (item.candidate, item.golds) not in asked:
                asked[item.candidate, item.golds] = self._ask(item)
        return lambda: [self._finish(item, asked) if isinstance(item, Undecided) else item for item in judged]

    def scores(
        self, completions: Sequence[Messages], prompts: Sequence[Any] | None = None, **columns: Any
    ) -> list[Score | None]:
        """The same at once, with the parameters of a TRL reward function."""
        texts = tuple(completion_text(completion) for completion in completions)
        questions = [""] * len(texts) if prompts is None else [completion_text(prompt) for prompt in prompts]
        return self.start(Samples(tuple(questions), texts, columns))()

    def __call__(
        self, completions: Sequence[Messages], prompts: Sequence[Any] | None = None, **columns: Any
    ) -> list[float | None]:
        """A value per completion, by TRL's signature."""
        return [value_of(score) for score in self.scores(completions, prompts, **columns)]

    def _ask(self, question: Undecided) -> Future[Results]:
        pool = self._pool or symbolic_pool()
        return pool.submit("symbolic", Samples(("",), (question.candidate,), {"golds": [question.golds]}))

    def _finish(self, question: Undecided, asked: Mapping[tuple[str, tuple[str, ...]], Future[Results]]) -> Score:
        pool = self._pool or symbolic_pool()
        (score,) = pool.result(asked[question.candidate, question.golds])
        if score is None:
            raise ValueError("the symbolic stage gave no verdict")
        detail = f"worker: {score.detail}" if score.verdict in UNUSABLE else score.detail
        return replace(score, extracted=question.extraction.answer, detail=detail)
