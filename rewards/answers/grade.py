"""Correctness of an answer to a mathematical question: extraction, then equality with any of the golds.

What is decided here costs microseconds in the caller's process. The few pairs left over are for math-verify, which
belongs in a process that can be killed (`doubleback.rewards.answers.symbolic`).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from doubleback.rewards.answers.equality import bare_value, compare, normalise
from doubleback.rewards.answers.extract import Extraction, Style, extract, last_box
from doubleback.rewards.answers.rational import parse_rational
from doubleback.rewards.answers.symbolic import symbolic_equal
from doubleback.rewards.answers.thinking import ANY, Thinking
from doubleback.rewards.types import ConfigError, Score, Verdict, shortened


@dataclass(frozen=True, slots=True)
class Undecided:
    """An answer that neither text nor rational value decides: a question for `symbolic_equal`."""

    candidate: str
    """As the guards saw it: `bare_value` of the extracted answer."""
    golds: tuple[str, ...]
    """`bare_value` of those that the cheap stages left open. Equal to any one of them is correct."""
    extraction: Extraction
    """Where the candidate was found."""


def gold_answers(answer: Any) -> tuple[str, ...]:
    r"""The golds in a dataset's answer column, any one of which is accepted.

    A GSM8K solution gives what follows its last `####`, commas dropped; a text with `\boxed{}` the last box; a number
    its decimal digits (72.0: "72"); a list the golds of its elements. ConfigError for anything without an answer.
    """
    if isinstance(answer, list | tuple) and answer:
        return tuple(_single_gold(element) for element in answer)
    return (_single_gold(answer),)


def _single_gold(answer: Any) -> str:
    if isinstance(answer, str):
        return _gold_of_text(answer)
    if isinstance(answer, int) and not isinstance(answer, bool):
        return str(answer)  # with all its digits
    if isinstance(answer, float) and math.isfinite(answer):
        return _decimal(answer)  # through repr, so that 0.1 is not its 55 binary digits
    raise ConfigError(f"answer={shortened(answer)} is no gold answer; expected text, a finite number or a list of them")


def _decimal(value: float) -> str:
    digits = f"{Decimal(repr(value)):f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


@lru_cache(maxsize=64)  # the completions of a problem follow each other
def _gold_of_text(answer: str) -> str:
    gold = answer
    if "####" in gold:
        gold = gold.rpartition("####")[2].strip()
        gold = gold.replace(",", "") if parse_rational(gold) is not None else gold
    elif "\\boxed" in gold or "\\fbox" in gold:
        gold = last_box(gold) or ""
    gold = gold.strip()
    if len(gold) > 1 and gold[0] == gold[-1] == "$" and gold.count("$") == 2:
        gold = gold[1:-1].strip()
    if not gold:
        raise ConfigError(
            f"answer={answer[-80:]!r} has no gold answer; expected text, `#### N` or a closed \\boxed{{}}"
        )
    return gold


def gold_completion(answer: Any, style: Style | str) -> str:
    """A completion that states the (first) gold in a style: grading it must give correct, before any training."""
    gold = gold_answers(answer)[0]
    templates = {
        Style.THINK_ANSWER: "<think> ... </think> <answer> {} </answer>",
        Style.BOXED: "So the answer is $\\boxed{{{}}}$.",
        Style.HASH: "...\n#### {}",
        Style.ANSWER_IS: "The answer is {}.",
        Style.LAST_NUMBER: "{}",
        Style.FLEXIBLE: "<think> ... </think> <answer> {} </answer>",
    }
    return templates[Style(style)].format(gold)


def grade_cheaply(
    completion: str,
    answer: Any,
    style: Style | str = Style.FLEXIBLE,
    question: str = "",
    thinking: Thinking = ANY,
    is_truncated: bool = False,
) -> Score | Undecided:
    """1.0 where the extracted answer equals a gold, 0.0 where it does not or there is none, else Undecided.

    `question` is the prompt, for the guards that ask what it asks for; `thinking` is what the prompt tells of that.
    `detail` names the stage that decided. With `is_truncated` the text was cut off: a last number is then none that it
    ends with.
    """
    extraction = extract(completion, Style(style), thinking)
    if is_truncated and extraction.style is Style.LAST_NUMBER:
        return Score(0.0, Verdict.TRUNCATED, detail="extraction: cut off before it stated an answer")
    golds = gold_answers(answer)
    listed = tuple(gold for gold in golds if 2 <= len(extraction.several) == _num_listed(gold))
    if listed:
        return _judge(extraction, ", ".join(extraction.several), listed, question)
    if extraction.answer is None:
        return Score(0.0, extraction.verdict or Verdict.NO_ANSWER, detail=f"extraction: {extraction.detail}")
    judged = _judge(extraction, extraction.answer, golds, question)
    if extraction.plainer and not (isinstance(judged, Score) and judged.verdict is Verdict.CORRECT):
        return _judge(extraction, extraction.plainer, golds, question)
    return judged


def _num_listed(gold: str) -> int:
    """How many values a gold lists without brackets, or as a set; 0 where it is a tuple, an interval or one value."""
    if parse_rational(gold) is not None:
        return 0
    bare = normalise(gold).removeprefix("\\{").removesuffix("\\}")
    return 0 if re.search(r"[()\[\]]", bare) else len(bare.split(","))


def _judge(extraction: Extraction, candidate: str, golds: Sequence[str], question: str) -> Score | Undecided:
    comparisons = [compare(candidate, gold, question) for gold in golds]
    for comparison in comparisons:
        if comparison.is_equal:
            return Score(1.0, Verdict.CORRECT, candidate, detail=f"{comparison.stage}: {comparison.detail}")
    open_golds = tuple(
        bare_value(gold) for gold, comparison in zip(golds, comparisons, strict=True) if comparison.is_equal is None
    )
    if open_golds:
        return Undecided(bare_value(candidate), open_golds, extraction)
    last = comparisons[-1]
    return Score(0.0, Verdict.WRONG, candidate, detail=f"{last.stage}: {last.detail}")


class SymbolicJudge:
    """The symbolic stage as a reward function, for a worker: completions are `Undecided.candidate`, column `golds`."""

    def __init__(self) -> None:
        # Half a second of imports and caches: part of loading, not of the first answer.
        symbolic_equal("x+1", "1+x")

    def scores(self, completions: Sequence[str], golds: Sequence[Sequence[str]], **columns: Any) -> list[Score]:
        """1.0 where math-verify takes the candidate for one of its golds. ValueError where none can be parsed."""
        return [_equal_to_any(candidate, each) for candidate, each in zip(completions, golds, strict=True)]

    def __call__(self, completions: Sequence[str], **columns: Any) -> list[float | None]:
        """A value per completion, by TRL's signature."""
        return [score.value for score in self.scores(completions, **columns)]


def _equal_to_any(candidate: str, golds: Sequence[str]) -> Score:
    problem: ValueError | None = None
    detail = ""
    for gold in golds:
        try:
            comparison = symbolic_equal(candidate, gold)
        except ValueError as error:
            problem = error
            continue
        detail = f"{comparison.stage}: {comparison.detail}"
        if comparison.is_equal:
            return Score(1.0, Verdict.CORRECT, candidate, detail=detail)
    # A gold that cannot be parsed may be the one that is meant: then there is no telling.
    if problem is not None:
        raise problem
    return Score(0.0, Verdict.WRONG, candidate, detail=detail)
