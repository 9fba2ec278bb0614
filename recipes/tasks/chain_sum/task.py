"""Chains of sums and differences in words, as a task: "What is seven plus twelve minus three?" is one.

A problem is a chain of signed numbers, here (7, 12, -3), and its level is how many they are. To which split a chain
belongs depends on the chain alone, so that no seed and no size can put one that is trained on into the test.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from typing import Annotated, Self

from annotated_types import MinLen
from pydantic import Field, model_validator

from doubleback.eval.measures.measure import Measure
from doubleback.eval.measures.moves import Move, Moves
from doubleback.recipes.tasks.task import Splits, Task, split_of
from doubleback.rewards.types import ConfigError, Problem

SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
Chain = tuple[int, ...]
"""Signed numbers; the first is positive."""
Step = tuple[int, str, int, int]
"""left, operator, right, total"""
Count = Annotated[int, Field(ge=1)]
STATED = re.compile(r"(?<![0-9])(-?[0-9]{1,6}) *([-+]) *([0-9]{1,6}) *= *(-?[0-9]{1,6})(?![0-9])")
"""A step as it is written. Longer numbers are of no chain."""


def steps(made: Sequence[int]) -> Iterator[Step]:
    """(left, operator, right, total) of each step of a chain: 7 + 12 = 19, then 19 - 3 = 16."""
    for (left, total), term in zip(pairwise(accumulate(made)), made[1:], strict=True):
        yield left, "+" if term > 0 else "-", abs(term), total


def steps_shown(made: Sequence[int], text: str) -> float:
    """The share of a chain's steps that the text states, right and in their order. "7 + 12 = 19, so 16": 1 of 2."""
    stated = iter(_stated(text))
    # `in` leaves the iterator behind what it found: a step that is stated too early does not count.
    return sum(step in stated for step in steps(made)) / (len(made) - 1)


def has_wrong_step(text: str) -> bool:
    """Whether the text states a step a + b = c or a - b = c that is not so."""
    return any(move.fault for move in stated_moves({}, text))


def stated_moves(columns: Mapping[str, object], text: str) -> list[Move]:
    """The steps that the text states, one beside the other: none branches off."""
    stated = zip(STATED.finditer(text), _stated(text), strict=True)
    return [Move(*match.span(), 0, str(step[-1]), _fault(step)) for match, step in stated]


def _fault(step: Step) -> str:
    left, sign, right, total = step
    value = left + (right if sign == "+" else -right)
    return "" if total == value else f"makes {value}"


def _stated(text: str) -> list[Step]:
    return [(int(left), operator, int(right), int(total)) for left, operator, right, total in STATED.findall(text)]


COLUMNS = {"chain": Annotated[Sequence[int], MinLen(2)]}
MEASURES: Mapping[str, Measure] = {
    "steps_shown": Measure("steps shown", COLUMNS, lambda columns, text: steps_shown(columns["chain"], text)),
    "wrong_step_rate": Measure("wrong steps", COLUMNS, lambda columns, text: has_wrong_step(text)),
}


class ChainSum(Task):
    """Sums and differences of numbers in words; level n has n numbers."""

    measures = MEASURES
    moves = Moves(COLUMNS, stated_moves)

    levels: Annotated[list[Annotated[int, Field(ge=2, le=12)]], Field(min_length=1)] = [2, 3, 4]  # noqa: RUF012
    """How many numbers a problem has; each is a level of its own, in the column `level` (problems.level=level)."""
    highest: Annotated[int, Field(ge=2, le=99)] = 20
    """The numbers are 1 to this."""
    train_problems: Count = 256
    """Training problems of each level."""
    validation_problems: Count = 32
    """Validation problems of each level."""
    test_problems: Count = 64
    """Test problems of each level."""
    seed: int = 0
    """Which chains are drawn, and in which order."""
    prompt: str = "r1_zero"
    """As for every task. The gold thinks, then answers in tags, as this prompt asks."""

    @model_validator(mode="after")
    def _names_each_level_once(self) -> Self:
        if len(set(self.levels)) < len(self.levels):
            raise ValueError(f"task.levels={self.levels} names a level twice; write it once")
        return self

    def splits(self) -> Splits:
        """For each level as many chains as the settings say. ConfigError where there are not so many."""
        wanted = {
            "train": self.train_problems,
            "validation": self.validation_problems,
            "test": self.test_problems,
        }
        drawn = [self._draw(level, wanted) for level in self.levels]
        train, validation, test = ([*chain.from_iterable(level[name] for level in drawn)] for name in wanted)
        return Splits(train, validation, test)

    def gold(self, problem: Problem) -> str:
        """Every step of the chain, then the answer."""
        shown = ", ".join(
            f"{left} {operator} {right} = {total}" for left, operator, right, total in steps(problem.columns["chain"])
        )
        return f"<think> {shown} </think> <answer> {problem.columns['answer']} </answer>"

    def _draw(self, level: int, wanted: dict[str, int]) -> dict[str, list[Problem]]:
        """Chains in the order of the seed, each put into its own split until that is full."""
        rng = random.Random(f"chain_sum:{self.seed}:{level}")
        num_chains = self.highest**level * 2 ** (level - 1)
        seen: set[Chain] = set()
        drawn: dict[str, list[Problem]] = {name: [] for name in wanted}
        while short := {name: count for name, count in wanted.items() if len(drawn[name]) < count}:
            if len(seen) == num_chains:
                raise ConfigError(_too_few(level, self.highest, short, drawn))
            numbers = [rng.randint(1, self.highest) for _ in range(level)]
            made = (numbers[0], *(rng.choice((1, -1)) * number for number in numbers[1:]))
            if made not in seen and (split := split_of(identity(made))) in short:
                drawn[split].append(make_problem(made))
            seen.add(made)
        return drawn


def _too_few(level: int, highest: int, short: dict[str, int], drawn: dict[str, list[Problem]]) -> str:
    name, count = next(iter(short.items()))
    return (
        f"task.{name}_problems={count}: level {level} has {len(drawn[name])} such chains with task.highest={highest}; "
        f"lower the first or raise the second"
    )


def make_problem(made: Chain) -> Problem:
    """The problem of a chain. (7, 12, -3): "What is seven plus twelve minus three?", answer 16, level 3."""
    said = [words(made[0]), *(f"{'plus' if term > 0 else 'minus'} {words(abs(term))}" for term in made[1:])]
    question = f"What is {' '.join(said)}?"
    columns = {"question": question, "answer": sum(made), "level": len(made), "chain": list(made)}
    return Problem(identity(made), question, columns)


def identity(made: Sequence[int]) -> str:
    """The chain as text: "chain_sum:7+12-3"."""
    return f"chain_sum:{made[0]}{''.join(f'{term:+d}' for term in made[1:])}"


def words(number: int) -> str:
    """0 to 99 in English: 7 is "seven", 21 is "twenty-one"."""
    if number < len(SMALL):
        return SMALL[number]
    tens, ones = divmod(number, 10)
    return TENS[tens - 2] + (f"-{SMALL[ones]}" if ones else "")
