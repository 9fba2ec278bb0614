"""Countdown: reach a target from given numbers, each used exactly once.

A problem of `n` numbers is every pair (multiset of n numbers from 1..13, target) that some tree of n - 1 operations
`+ - *` reaches with every intermediate and final value in 1..50. So differences are positive (zero and negative values
are out of range), numbers may repeat, and the target may equal one of the numbers. These rules give 3,668 problems of
three numbers and 44,179 of four; they are enumerated, never sampled, so no problem is missed or counted twice.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from itertools import combinations, combinations_with_replacement

from doubleback.rewards.answers.expression import DivisionByZeroError, ExpressionError, parse_expression
from doubleback.rewards.answers.extract import no_region, think_answer
from doubleback.rewards.answers.messages import Messages
from doubleback.rewards.answers.thinking import ANY, Thinking, thinking_of
from doubleback.rewards.contract.functions import per_sample
from doubleback.rewards.types import Problem, Score, Verdict

HIGHEST_NUMBER = 13
"""Given numbers are 1..13."""
HIGHEST_VALUE = 50
"""Every value that an operation of a problem makes is in 1..50."""
OPERATORS = ("+", "-", "*")
"""What problems are made of. An answer may divide too: it is right if its exact value is."""
NUM_NUMBERS = (3, 4)
"""Supported sizes. Five would make 258,165 problems whose searches do not fit 128 tokens."""


class Split(StrEnum):
    """What a problem is for. No problem is in two splits."""

    PRETRAIN = "pretrain"
    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


SPLIT_BOUNDS = ((60, Split.PRETRAIN), (85, Split.TRAIN), (90, Split.VALIDATION), (100, Split.TEST))
"""Upper bounds in per cent: 60 / 25 / 5 / 10."""


def apply_operator(left: int, operator: str, right: int) -> int | None:
    """`left operator right` where a problem may contain it, else None: the result must lie in 1..50."""
    results = {"+": left + right, "-": left - right, "*": left * right}
    result = results[operator]
    return result if 1 <= result <= HIGHEST_VALUE else None


@cache
def reachable_targets(state: tuple[int, ...]) -> frozenset[int]:
    """Every value that the numbers of `state` (sorted) can be combined into, each used once, within the limits."""
    if len(state) == 1:
        return frozenset(state)
    targets: set[int] = set()
    for small, large in combinations(range(len(state)), 2):
        rest = [number for i, number in enumerate(state) if i not in (small, large)]
        for operator in OPERATORS:
            result = apply_operator(state[large], operator, state[small])
            if result is not None:
                targets |= reachable_targets(tuple(sorted([*rest, result])))
    return frozenset(targets)


def _hash(purpose: str, identity: str) -> int:
    # Not Python's hash(): that one differs between processes.
    return int.from_bytes(hashlib.sha256(f"{purpose}:{identity}".encode()).digest()[:8])


def make_problem(numbers: Sequence[int], target: int) -> Problem:
    """The one problem with these numbers and this target, whatever their order.

    The prompt shows the numbers in an order derived from a hash, so that a problem has one prompt and the order gives
    nothing away.
    """
    ordered = sorted(numbers)
    identity = f"countdown{len(ordered)}:{','.join(map(str, ordered))}->{target}"
    positions = sorted(range(len(ordered)), key=lambda i: _hash(f"order{i}", identity))
    shown = [ordered[i] for i in positions]
    prompt = f"{' '.join(map(str, shown))} -> {target}"
    return Problem(id=identity, prompt=prompt, columns={"numbers": shown, "target": target})


@cache
def all_problems(num_numbers: int) -> tuple[Problem, ...]:
    """Every problem of this size, by numbers, then target. Three numbers: 3,668. Four: 44,179 in under a second."""
    if num_numbers not in NUM_NUMBERS:
        raise ValueError(f"num_numbers={num_numbers} must be one of {NUM_NUMBERS}")
    multisets = combinations_with_replacement(range(1, HIGHEST_NUMBER + 1), num_numbers)
    return tuple(
        make_problem(numbers, target) for numbers in multisets for target in sorted(reachable_targets(numbers))
    )


def split_of(problem: Problem) -> Split:
    """The split a problem belongs to: a function of its identity alone, stable across machines and versions."""
    percentile = _hash("split", problem.id) % 100
    return next(split for bound, split in SPLIT_BOUNDS if percentile < bound)


@cache
def problems(num_numbers: int, split: Split) -> tuple[Problem, ...]:
    """The problems of one split, in the order of `all_problems`."""
    return tuple(problem for problem in all_problems(num_numbers) if split_of(problem) == split)


def grade(completion: str, numbers: Sequence[int], target: int, thinking: Thinking = ANY) -> Score:
    """Right if the answer region holds an expression that uses each number once and equals the target exactly.

    Verdicts: correct; wrong; no_answer, where no answer stands after the thinking; bad_format, where what stands there
    is no expression. What was thought is never looked at, and where thinking is off no thought need be there.
    """
    answer = think_answer(completion, thinking).answer
    if answer is None:
        return Score(0.0, Verdict.NO_ANSWER, detail=no_region(thinking))
    try:
        expression = parse_expression(answer)
    except DivisionByZeroError as error:
        return Score(0.0, Verdict.WRONG, answer, detail=str(error))
    except ExpressionError as error:
        return Score(0.0, Verdict.BAD_FORMAT, answer, detail=str(error))
    if Counter(expression.numbers) != Counter(numbers):
        used = " ".join(map(str, sorted(expression.numbers)))
        return Score(0.0, Verdict.WRONG, answer, detail=f"uses {used}, not {' '.join(map(str, sorted(numbers)))}")
    if expression.value != target:
        return Score(0.0, Verdict.WRONG, answer, detail=f"equals {expression.value}, not {target}")
    return Score(1.0, Verdict.CORRECT, answer, detail=f"equals {target}")


@per_sample
def countdown_correct(
    completion: str,
    numbers: Sequence[int],
    target: int,
    prompt: Messages = "",
    thinking_convention: str | None = None,
    thinking: bool | None = None,
) -> Score:
    """1.0 where the answer uses each number once and equals the target exactly, else 0.0.

    Columns: numbers, target; thinking where it is asked for. See `grade` for the verdicts. Failure cases: none
    known; what cannot be parsed exactly is bad_format. TRL's reward signature.
    """
    return grade(completion, numbers, target, thinking_of(prompt, thinking_convention, thinking))
