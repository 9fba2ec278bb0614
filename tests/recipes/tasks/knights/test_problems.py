"""The problems are all there, once whatever the names, with one solution each, in one split."""

import hashlib
import random
from collections import Counter
from itertools import permutations, product

import pytest

from doubleback.recipes.recipe.loading import load_recipe
from doubleback.recipes.tasks.knights.problems import all_problems, make_problem, problems, rename, renamed, sayable
from doubleback.recipes.tasks.knights.task import Knights
from doubleback.recipes.tasks.knights.words import VOCABULARY
from doubleback.recipes.tasks.task import find_task
from doubleback.rewards.builtin.knights import grade, solutions
from doubleback.rewards.types import ConfigError, Verdict

SPLITS = ("pretrain", "train", "validation", "test")


def is_true(statement, kinds):
    """Another way than the code's: Python's own logic on the words."""
    for name, kind in kinds.items():
        for word, meant in (("honest", "knight"), ("lies", "knave")):
            statement = statement.replace(f"{name}-{word}", str(kind == meant))
    match statement.split():
        case [first, second, how] if how in ("alike", "differ"):
            return (kinds[first] == kinds[second]) == (how == "alike")
        case _:
            return eval(statement)


def num_solutions(said):
    people = "ABCD"[: len(said)]
    found = 0
    for kinds in product(("knight", "knave"), repeat=len(said)):
        named = dict(zip(people, kinds, strict=True))
        found += all(is_true(it, named) == (named[person] == "knight") for person, it in zip(people, said, strict=True))
    return found


@pytest.mark.parametrize(("num_people", "num_problems"), [(2, 38), (3, 598), (4, 6583)])
def test_problems_are_distinct_whatever_the_names_and_have_one_solution(num_people, num_problems):
    everything = all_problems(num_people)
    assert len({problem.id for problem in everything}) == len({p.prompt for p in everything}) == num_problems
    sample = random.Random(0).sample(everything, min(100, num_problems))
    for problem in sample:
        said = tuple(problem.columns["statements"])
        assert num_solutions(said) == len(solutions(said)) == 1
        for order in permutations("ABCD"[:num_people]):
            assert make_problem(rename(said, order)) == problem


@pytest.mark.slow
def test_three_people_make_598_problems_by_brute_force_too():
    options = [sayable(person, "ABC") for person in "ABC"]
    solvable = [said for said in product(*options) if num_solutions(said) == 1]
    classes = {frozenset(rename(said, order) for order in permutations("ABC")) for said in solvable}
    assert len(classes) == 598


def test_what_may_be_said():
    assert sayable("A", "AB") == [
        *("B-honest", "B-lies", "A B alike", "A B differ"),
        *(
            f"A-{one} {how} B-{other}"
            for one in ("honest", "lies")
            for how in ("and", "or")
            for other in ("honest", "lies")
        ),
    ]
    # Of three: others, a pair of others, and of oneself only what leaves everything open.
    assert len(sayable("A", "ABC")) == 4 + 2 + 8 + 8
    assert "A-honest or C-lies" in sayable("A", "ABC")
    assert {"A B alike", "A-lies or C-lies", "A-lies and C-lies"}.isdisjoint(sayable("A", "ABC"))
    # Of four: others alone, and joined only where they are of one kind.
    assert len(sayable("D", "ABCD")) == 6 + 6 + 12
    assert {"A-honest and D-honest", "A-honest and B-lies"}.isdisjoint(sayable("D", "ABCD"))


def test_renaming_keeps_pairs_in_order():
    names = {"A": "C", "B": "A", "C": "B"}
    assert renamed("A B alike", names) == "A C alike"
    assert renamed("A-honest and B-lies", names) == "A-lies and C-honest"
    assert renamed("C-lies", names) == "B-lies"
    # C says now what A said.
    assert rename(("B-lies", "A C differ", "A-honest or B-lies"), "CAB") == (
        *("B C differ", "A-lies or C-honest", "A-lies"),
    )


@pytest.mark.parametrize("num_people", [3, 4])
def test_splits_are_disjoint_and_exhaustive_in_their_shares(num_people):
    everything = all_problems(num_people)
    parts = [problem.id for split in SPLITS for problem in problems(num_people, split)]
    assert sorted(parts) == sorted(problem.id for problem in everything)
    for split, share in zip(SPLITS, (0.60, 0.25, 0.05, 0.10), strict=True):
        deviation = (share * (1 - share) / len(everything)) ** 0.5  # of a fair draw; three of them
        assert len(problems(num_people, split)) / len(everything) == pytest.approx(share, abs=3 * deviation)


def test_frozen_splits():
    """Protects the test split: changing identity, hash or names would move problems of pre-training into it."""
    assert [[len(problems(number, split)) for split in SPLITS] for number in (2, 3, 4)] == [
        *([29, 7, 1, 1], [365, 157, 28, 48], [3955, 1632, 332, 664]),
    ]
    prompts = "\n".join(problem.prompt for number in (2, 3, 4) for problem in problems(number, "test"))
    assert hashlib.sha256(prompts.encode()).hexdigest()[:16] == "c382070eeb9d36c3"


def test_names_that_are_shown_give_nothing_away():
    """Whether A is a knight is open; unless a problem looks the same under every naming, each naming is as likely."""
    shown = Counter(next(iter(solutions(p.columns["statements"]))) for p in all_problems(4))
    by_place = [sum(count for world, count in shown.items() if world[place]) for place in range(4)]
    assert max(by_place) - min(by_place) < 0.05 * 6583


def test_task_hands_out_all_but_pretraining_and_its_golds_are_right():
    task = Knights(name="knights")
    splits = task.splits()
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [7 + 157 + 1632, 361, 713]
    assert find_task("knights") is Knights
    words = set(VOCABULARY)
    for problem in splits.everything[::7]:
        gold = task.gold(problem)
        assert grade(gold, problem.columns["statements"]).verdict == Verdict.CORRECT
        assert set(f"{problem.prompt} {gold}".split()) <= words
    assert {problem.columns["level"] for problem in splits.train} == {2, 3, 4}


def test_settings_that_cannot_work_are_refused():
    for people, message in (
        ([3, 3], "names a number twice"),
        ([5], "less than or equal to 4"),
        ([], "at least 1 item"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_recipe("countdown", {"task": {"name": "knights", "people": people}})
    with pytest.raises(ValueError, match="num_people=5"):
        all_problems(5)
