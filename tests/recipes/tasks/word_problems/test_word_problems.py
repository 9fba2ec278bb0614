"""Word problems made here: hand-worked ones, splits that cannot leak, and what was learned taken apart."""

import math
import operator
import random
import re

import pytest

from doubleback.eval.prompts.prompt import load_prompt
from doubleback.recipes.recipe.loading import load_recipe
from doubleback.recipes.recipe.problems import scorable
from doubleback.recipes.tasks.task import split_of
from doubleback.recipes.tasks.word_problems.task import MEASURES, WordProblems, draw_numbers, equations, make_problem
from doubleback.recipes.tasks.word_problems.wordings import PEOPLE, SEEN, UNSEEN
from doubleback.rewards.compose.reward import load_reward
from doubleback.rewards.types import ConfigError

ADD_THEN_TAKE = {"operations": "+-", "numbers": [6, 5, 3], "answer": 8, "unseen": False}


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("6 + 5 = 11. The answer is 11.", [(6, "+", 5, 11)]),
        ("6+5=11, so 11 - 3 = 8", [(6, "+", 5, 11), (11, "-", 3, 8)]),
        ("2 x 3 = 7 and 2 × 3 = 6", [(2, "*", 3, 7), (2, "*", 3, 6)]),
        ("2 - 5 = -3.", [(2, "-", 5, -3)]),
        ("1.6 + 5 = 11 and 6 + 5 = 11.5", []),
        ("The answer is 11.", []),
    ],
)
def test_equations_by_hand(text, stated):
    assert equations(text) == stated


@pytest.mark.parametrize(
    ("text", "equation", "operations", "arithmetic", "right"),
    [
        ("6 + 5 = 11. 11 - 3 = 8. The answer is 8.", 1, 1, 1, 1),
        ("6 + 5 = 12. 12 - 3 = 9. The answer is 9.", 1, 1, 0, 0),  # the right way, added wrongly
        ("6 + 5 = 11. 11 + 3 = 14. The answer is 14.", 1, 0, 1, 0),
        ("6 + 4 = 10. 10 - 2 = 8. The answer is 8.", 1, 0, 1, 1),  # numbers of no problem
        ("The answer is 8.", 0, math.nan, math.nan, 1),
        ("", 0, math.nan, math.nan, 0),
    ],
)
def test_what_was_learned_is_taken_apart(text, equation, operations, arithmetic, right):
    names = ("equation_rate", "operations_rate", "arithmetic_rate", "seen_rate", "unseen_rate")
    values = [float(MEASURES[name].of(ADD_THEN_TAKE, text)) for name in names]
    assert values == pytest.approx([equation, operations, arithmetic, right, math.nan], nan_ok=True)


@pytest.mark.parametrize("steps", [1, 2])
def test_splits_share_no_text_and_the_test_alone_has_unseen_wordings(steps):
    splits = WordProblems(name="word_problems", steps=steps).splits()
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [1200, 32, 120]
    assert len({problem.id for problem in splits.everything}) == 1352
    assert [sum(problem.columns["unseen"] for problem in part) for part in (splits.train, splits.validation)] == [0, 0]
    assert sum(problem.columns["unseen"] for problem in splits.test) == 40
    assert all(len(problem.columns["operations"]) == steps for problem in splits.everything)


def test_another_seed_draws_other_problems_but_never_across_the_splits():
    first, second = (WordProblems(name="word_problems", seed=seed).splits() for seed in (0, 1))
    trained = {problem.id for problem in first.train}
    assert trained != {problem.id for problem in second.train}
    assert not trained & {problem.id for problem in second.test}
    assert all(split_of(problem.prompt) == "test" for problem in second.test)


def test_a_wording_says_all_of_its_numbers_and_is_of_one_table():
    tables = [*SEEN.values(), *UNSEEN.values()]
    for operations, text in (wording for table in tables for wording in table):
        assert all(f"{{{hole}}}" in text for hole in "abc"[: len(operations) + 1]), text
    texts = [text for table in tables for _, text in table]
    assert len(texts) == len(set(texts))


def test_no_two_people_have_one_name():
    assert len(set(PEOPLE)) == len(PEOPLE)


def test_no_number_on_the_way_is_below_two():
    rng = random.Random(0)
    for operations, _ in (*SEEN[1], *SEEN[2]):
        numbers = draw_numbers(rng, operations)
        problem = make_problem(rng, (operations, "{a} {b} {c}" if len(operations) == 2 else "{a} {b}"), unseen=False)
        assert min(*numbers, problem.columns["answer"]) >= 2


@pytest.mark.parametrize("steps", [1, 2])
def test_every_gold_is_right_to_the_reward_and_to_the_measures(steps):
    task = WordProblems(name="word_problems", steps=steps, train_problems=40)
    splits = task.splits()
    with load_reward(load_recipe("word-problems").reward) as reward:
        _, dropped = scorable(splits, task, reward)
    assert dropped == []
    for problem in splits.everything:
        values = [float(measure.of(problem.columns, task.gold(problem) or "")) for measure in MEASURES.values()]
        assert {value for value in values if not math.isnan(value)} == {1.0}, problem


@pytest.mark.parametrize("name", ["one_step_2shot", "one_step_4shot", "two_steps_2shot"])
def test_the_worked_examples_are_right(name):
    apply = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
    for example in load_prompt(name).examples:
        stated = re.findall(r"(\d+) ([-+*/]) (\d+) = (\d+)\.", example.answer)
        assert [apply[sign](int(left), int(right)) for left, sign, right, _ in stated] == [int(it[3]) for it in stated]
        assert example.answer.endswith(f"The answer is {stated[-1][3]}.")


def test_more_problems_than_the_wordings_give_are_refused(monkeypatch):
    monkeypatch.setitem(SEEN, 1, [("+", "{a} and {b} {t}?")])
    with pytest.raises(ConfigError, match=r"task.validation_problems=900: the wordings gave \d+ different ones; lower"):
        WordProblems(name="word_problems", validation_problems=900, train_problems=1).splits()
