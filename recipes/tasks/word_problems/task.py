"""Word problems of one or two steps with small numbers, as a task: a first thing for a small pretrained model to learn.

A problem is a wording with numbers, people and things put in. Some wordings stand in the test alone, so that what was
learned of a wording and what was learned of word problems are told apart. To which split a problem belongs depends on
its text alone: no seed and no size can put one that is trained on into the test.
"""

import math
import random
import re
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Annotated, Any, Literal

from pydantic import Field

from doubleback.eval.measures.measure import Measure
from doubleback.recipes.tasks.task import Splits, Task, split_of
from doubleback.recipes.tasks.word_problems.wordings import PEOPLE, SEEN, THINGS, UNSEEN, Wording
from doubleback.rewards.answers.rational import parse_rational
from doubleback.rewards.types import ConfigError, Problem

UNSEEN_SHARE = 3
"""One in so many test problems has a wording that stands in no other split."""
MAX_DRAWS = 2000
"""How many draws in a row may bring nothing new, before a split counts as too large for what the wordings give."""
EQUATION = re.compile(r"(?<![\d.])(\d{1,6}) *([-+*×x]) *(\d{1,6}) *= *(-?\d{1,6})(?![\d.]*\d)")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
Count = Annotated[int, Field(ge=1)]
Equation = tuple[int, str, int, int]
"""left, operator, right, what is said to be the result"""


def equations(text: str) -> list[Equation]:
    """The equations that a text states. "6 + 5 = 11. So 2 x 3 = 7": (6, "+", 5, 11), (2, "*", 3, 7)."""
    return [
        (int(left), "*" if operator in "×x" else operator, int(right), int(result))
        for left, operator, right, result in EQUATION.findall(text)
    ]


def apply(left: int, operator: str, right: int) -> int:
    """left + right, left - right or left * right."""
    return {"+": left + right, "-": left - right, "*": left * right}[operator]


def has_right_operations(columns: Mapping[str, Any], text: str) -> float:
    """Whether a text's equations use the problem's operations in order, and all of its numbers; NaN without any."""
    stated = equations(text)
    if not stated:
        return math.nan
    operands = {number for left, _, right, _ in stated for number in (left, right)}
    return "".join(operator for _, operator, _, _ in stated) == columns["operations"] and operands >= {
        *columns["numbers"]
    }


def has_right_arithmetic(_: Mapping[str, Any], text: str) -> float:
    """Whether every equation of a text is true; NaN without any."""
    stated = equations(text)
    if not stated:
        return math.nan
    return all(apply(left, operator, right) == result for left, operator, right, result in stated)


def _right_where(unseen: bool, columns: Mapping[str, Any], text: str) -> float:
    """Whether the last number of a text is the answer, for problems of one kind of wording; NaN for the others."""
    if columns["unseen"] is not unseen:
        return math.nan
    numbers = NUMBER.findall(text)
    return bool(numbers) and parse_rational(numbers[-1]) == columns["answer"]


OPERANDS = {"numbers": Sequence[int]}
KIND = {"unseen": bool, "answer": int}
MEASURES: Mapping[str, Measure] = {
    "equation_rate": Measure("states an equation", OPERANDS, lambda _, text: bool(equations(text))),
    "operations_rate": Measure("right operations, of those", {"operations": str, **OPERANDS}, has_right_operations),
    "arithmetic_rate": Measure("right arithmetic, of those", OPERANDS, has_right_arithmetic),
    "seen_rate": Measure("wordings of training", KIND, lambda *sample: _right_where(False, *sample)),
    "unseen_rate": Measure("unseen wordings", KIND, lambda *sample: _right_where(True, *sample)),
}


class WordProblems(Task):
    """Word problems of one or two steps, made here."""

    measures = MEASURES

    steps: Literal[1, 2] = 1
    """How many operations a problem takes."""
    train_problems: Count = 1200
    """Training problems."""
    validation_problems: Count = 32
    """Validation problems, of the wordings of training."""
    test_problems: Annotated[int, Field(ge=UNSEEN_SHARE)] = 120
    """Test problems; a third of them has wordings that training never sees."""
    seed: int = 0
    """Which problems are drawn, and in which order."""
    prompt: str = "one_step_2shot"
    """As for every task. The gold answers as this prompt's examples do."""

    def splits(self) -> Splits:
        """As many problems as the settings say. ConfigError where the wordings do not give so many."""
        unseen = self.test_problems // UNSEEN_SHARE
        test = [
            *self._draw(SEEN[self.steps], "test", self.test_problems - unseen),
            *self._draw(UNSEEN[self.steps], "test", unseen),
        ]
        random.Random(self.seed).shuffle(test)
        train = self._draw(SEEN[self.steps], "train", self.train_problems)
        return Splits(train, self._draw(SEEN[self.steps], "validation", self.validation_problems), test)

    def gold(self, problem: Problem) -> str:
        """The equations, then the answer: "6 + 5 = 11. The answer is 11."."""
        return " ".join([*solution(problem.columns), f"The answer is {problem.columns['answer']}."])

    def _draw(self, wordings: Sequence[Wording], split: str, count: int) -> list[Problem]:
        rng = random.Random(f"word_problems:{self.seed}:{split}:{wordings is UNSEEN[self.steps]}")
        drawn: dict[str, Problem] = {}
        num_in_vain = 0
        while len(drawn) < count:
            problem = make_problem(rng, rng.choice(wordings), unseen=wordings is UNSEEN[self.steps])
            is_new = problem.id not in drawn and split_of(problem.prompt) == split
            num_in_vain = 0 if is_new else num_in_vain + 1
            if num_in_vain == MAX_DRAWS:
                raise ConfigError(
                    f"task.{split}_problems={count}: the wordings gave {len(drawn)} different ones; lower it"
                )
            if is_new:
                drawn[problem.id] = problem
        return [*drawn.values()]


def totals(numbers: Sequence[int], operations: str) -> list[int]:
    """The first number, and what each operation makes of it. 6, 5, 3 with "+-": 6, 11, 8."""
    steps = zip(operations, numbers[1:], strict=True)
    return [*accumulate(steps, lambda total, step: apply(total, *step), initial=numbers[0])]


def solution(columns: Mapping[str, Any]) -> list[str]:
    """One equation for each operation. 6, 5, 3 with "+-": "6 + 5 = 11." and "11 - 3 = 8."."""
    numbers, operations = columns["numbers"], columns["operations"]
    steps = zip(pairwise(totals(numbers, operations)), operations, numbers[1:], strict=True)
    return [f"{left} {operator} {right} = {result}." for (left, result), operator, right in steps]


def draw_numbers(rng: random.Random, operations: str) -> list[int]:
    """Numbers for which no result on the way is below 2: 2 to 20 where they are added, factors of 2 to 9."""
    while True:
        numbers = [rng.randint(2, 9) if operations[0] == "*" else rng.randint(5, 20)]
        numbers += [rng.randint(2, 9) for _ in operations]
        if min(totals(numbers, operations)) >= 2:
            return numbers


def make_problem(rng: random.Random, wording: Wording, unseen: bool) -> Problem:
    """A problem of this wording, with numbers, people and a thing that `rng` draws."""
    operations, text = wording
    numbers = draw_numbers(rng, operations)
    first, second = rng.sample(PEOPLE, 2)
    named = dict(zip("abc", numbers, strict=False))
    question = text.format(**named, n=first, m=second, t=rng.choice(THINGS))
    columns = {
        "question": question,
        "answer": totals(numbers, operations)[-1],
        "operations": operations,
        "numbers": numbers,
        "unseen": unseen,
    }
    return Problem(f"word_problems:{question}", question, columns)
