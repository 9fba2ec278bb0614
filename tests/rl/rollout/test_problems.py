"""The order of problems, the filter by pass rate and the curriculum: deterministic, and exact over a resume."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rollouts import make_completion, make_group

from doubleback.rewards.types import ConfigError, Problem
from doubleback.rl.config import ProblemsConfig
from doubleback.rl.rollout.problems import ProblemSource


def make_source(num_problems=6, seed=0, levels=None, **settings):
    problems = [
        Problem(str(index), "", {} if levels is None else {"level": levels[index]}) for index in range(num_problems)
    ]
    return ProblemSource(problems, ProblemsConfig(**settings), seed)


def ids(source, count, **settings):
    return [problem.id for problem in source.take(count, **settings)]


def group_of(problem, *rewards):
    completions = [make_completion([5, 2]) for _ in rewards]
    return replace(make_group([1], completions, rewards), problem=problem)


def learn(source, count, rewards_of):
    """Take problems and observe a group of each."""
    problems = source.take(count)
    source.observe([group_of(problem, *rewards_of(problem)) for problem in problems])
    return [problem.id for problem in problems]


def test_order_of_problems_is_pinned():
    """Stored runs resume with it: another order here breaks every unfinished run."""
    source = make_source(7, seed=5)
    assert [ids(source, 3) for _ in range(5)] == [
        ["2", "0", "4"],
        ["1", "3", "6"],
        ["5", "1", "5"],
        ["2", "3", "4"],
        ["6", "0", "3"],
    ]


@given(num_problems=st.integers(1, 20), batch_size=st.integers(1, 25), seed=st.integers(0, 5))
def test_every_epoch_holds_every_problem_once(num_problems, batch_size, seed):
    source = make_source(num_problems, seed)
    stream = [id_ for _ in range(3 * num_problems) for id_ in ids(source, batch_size)]
    assert len(stream) == 3 * num_problems * batch_size
    for start in range(0, len(stream) - num_problems + 1, num_problems):
        assert sorted(stream[start : start + num_problems], key=int) == [str(i) for i in range(num_problems)]


def test_order_changes_with_seed_and_epoch():
    source = make_source(20)
    first, second = ids(source, 20), ids(source, 20)
    assert first != second
    assert first != ids(make_source(20, seed=1), 20)


def test_excluded_problems_are_passed_over_and_the_rest_is_without_repetition():
    source = make_source(6)
    excluded = frozenset(ids(source, 4))
    rest = ids(source, 10, excluded=excluded)
    assert sorted([*excluded, *rest]) == [str(index) for index in range(6)]
    assert ids(source, 1, excluded=frozenset(map(str, range(6)))) == []


FILTER = {"min_pass_rate": 0.2, "max_pass_rate": 0.8, "memory": 0.0, "rest_epochs": 1}
EASY, HARD, HALF = (1.0, 1.0), (0.0, 0.0), (1.0, 0.0)


def rewards_by_id(problem):
    return {"0": EASY, "1": HARD}.get(problem.id, HALF)


def test_problems_out_of_range_rest_and_are_tried_again():
    source = make_source(6, **FILTER)
    epochs = [learn(source, 6, rewards_by_id), learn(source, 4, rewards_by_id), learn(source, 6, rewards_by_id)]
    # The first epoch measures all, the second leaves 0 and 1 out, the third tries them again.
    assert [sorted(epoch) for epoch in epochs] == [list("012345"), list("2345"), list("012345")]
    assert source.metrics() == {"problems/out_of_range": pytest.approx(2 / 6)}


def test_running_pass_rate_by_hand():
    """memory 0.75: 0, then 0.25 * 1, then 0.75 * 0.25; an unjudged group changes nothing; 0.75 * 0.1875 + 0.25."""
    source = make_source(1, min_pass_rate=0.1, memory=0.75, rest_epochs=1)
    rates = []
    for rewards in [HARD, EASY, HARD, (None, None), (1.0, None)]:
        learn(source, 1, lambda problem, rewards=rewards: rewards)
        rates.append(source.state()["rates"]["0"][0])
    assert rates == [0.0, 0.25, 0.1875, 0.1875, 0.390625]


def test_a_source_that_may_rest_everything_still_gives_problems():
    source = make_source(3, max_pass_rate=0.5, memory=0.0, rest_epochs=3)
    assert len(learn(source, 3, lambda problem: EASY)) == 3
    assert len(learn(source, 3, lambda problem: EASY)) == 3


def test_without_a_filter_nothing_is_remembered():
    source = make_source(3)
    learn(source, 3, lambda problem: HARD)
    assert source.state() == {"position": 3, "rates": {}, "level": 0, "level_rate": None}
    assert source.metrics() == {}


LEVELS = [1, 1, 3, 3, 5, 5]


def test_curriculum_climbs_from_level_to_level():
    source = make_source(6, levels=LEVELS, level="level", promote_at=0.6, memory=0.5)
    assert math.isnan(source.metrics()["problems/level_pass_rate"])
    steps = []
    for rewards in [HARD, EASY, EASY, HALF, EASY, EASY]:
        steps.append((source.metrics()["problems/level"], learn(source, 2, lambda problem, rewards=rewards: rewards)))
    # Level 1: 0, 0.5, 0.75 >= 0.6. Level 3 then starts anew, with what the step held of it.
    assert [level for level, _ in steps][:4] == [1.0, 1.0, 1.0, 3.0]
    allowed = [{id_ for id_, level in enumerate(LEVELS) if level <= reached} for reached, _ in steps]
    assert all({int(id_) for id_ in taken} <= levels for (_, taken), levels in zip(steps, allowed, strict=True))
    for _ in range(20):
        learn(source, 6, lambda problem: EASY)
    assert source.metrics()["problems/level"] == 5.0
    assert sorted(set(ids(source, 12))) == list("012345")


def test_easier_problems_do_not_lift_the_level():
    """Only the highest level's problems count."""
    source = make_source(4, levels=[1, 1, 2, 3], level="level", promote_at=0.9, memory=0.0)
    learn(source, 2, lambda problem: EASY)
    for _ in range(4):
        learn(source, 3, lambda problem: EASY if problem.columns["level"] == 1 else HARD)
    assert source.metrics() == {"problems/level": 2.0, "problems/level_pass_rate": 0.0}


@pytest.mark.parametrize("level", ["hard", None, 1.5, True])
def test_a_level_that_is_no_whole_number_is_refused(level):
    with pytest.raises(ConfigError, match=r"problems.level=level: problem 1 has .* there, not a whole number"):
        make_source(2, levels=[1, level], level="level")


@pytest.mark.parametrize("settings", [{}, FILTER, {"level": "level"}, {**FILTER, "level": "level"}], ids=str)
def test_restored_source_continues_exactly(settings):
    varied = HARD, HALF, EASY, EASY

    def steps(source, numbers):
        taken = []
        for number in numbers:
            taken.append(learn(source, 3, lambda problem, number=number: varied[(int(problem.id) + number) % 4]))
        return taken, source.metrics()

    whole = steps(make_source(6, levels=LEVELS, **settings), range(12))[0]
    first, second = (make_source(6, levels=LEVELS, **settings) for _ in range(2))
    before, _ = steps(first, range(5))
    second.restore(json.loads(json.dumps(first.state())))
    after, metrics = steps(second, range(5, 12))
    assert before + after == whole
    assert metrics == pytest.approx(steps(first, range(5, 12))[1], nan_ok=True)


def test_a_pass_rate_that_is_no_number_promotes_nothing_and_lets_its_problem_rest():
    source = make_source(2, levels=[1, 2], level="level", promote_at=0.5, max_pass_rate=0.9)
    source.restore({"position": 2, "rates": {"0": [math.nan, 0]}, "level": 1, "level_rate": math.nan})
    source.observe([])
    assert source.state()["level"] == 1
    assert source.metrics()["problems/out_of_range"] == 0.5
