"""Traces keep to their kind and budget, and are the same for the same seed; their truth: measures/test_deduction.py."""

import random

import pytest

from doubleback.eval.measures.deduction import replay
from doubleback.recipes.pretrain.traces import TraceType
from doubleback.recipes.tasks.knights.problems import make_problem, problems
from doubleback.recipes.tasks.knights.traces import make_trace
from doubleback.rewards.answers.extract import think_answer
from doubleback.rewards.builtin.knights import grade
from doubleback.rewards.types import Verdict

PROBLEM = make_problem(("B-lies", "A C alike", "A-honest or B-lies"))
SAMPLE = problems(4, "validation")[::4]


def traces_of(kind):
    for problem in SAMPLE:
        trace = make_trace(problem, kind, random.Random(problem.id))
        statements = problem.columns["statements"]
        yield trace, replay(trace, statements), grade(trace, statements).verdict == Verdict.CORRECT


def test_an_optimal_trace_is_right_and_never_fails():
    for trace, result, is_right in traces_of(TraceType.OPTIMAL):
        assert is_right
        assert not {"no", "back"} & set(trace.split())
        assert result.num_checks >= 4


def test_a_guess_assumes_everybody_and_derives_nothing():
    rights = []
    for _, result, is_right in traces_of(TraceType.GUESS):
        assert (result.num_assumptions, result.num_derivations, result.num_backtracks) == (4, 0, 0)
        rights.append(is_right)
    assert sum(rights) / len(rights) < 0.2  # one in 16


def test_a_short_search_derives_nothing_and_gives_up():
    rights = [is_right for *_, is_right in traces_of(TraceType.SHORT)]
    assert 0.1 < sum(rights) / len(rights) < 0.5
    assert all(result.num_derivations == 0 for _, result, _ in traces_of(TraceType.SHORT))


def test_a_depth_first_search_finds_nearly_all_and_doubles_back_for_half():
    found = [(result.is_verified_backtrack, is_right) for _, result, is_right in traces_of(TraceType.DEPTH_FIRST)]
    assert sum(is_right for _, is_right in found) / len(found) > 0.95
    assert 0.4 < sum(doubled for doubled, _ in found) / len(found) < 0.7


@pytest.mark.parametrize("kind", TraceType)
def test_format_and_budget_are_kept(kind):
    for budget in (64, 90):
        for problem in SAMPLE[:20]:
            trace = make_trace(problem, kind, random.Random(0), budget)
            assert think_answer(trace).is_exact
            assert len(trace.split()) + 1 <= budget


def test_a_trace_is_a_function_of_problem_kind_and_random_numbers():
    """Protects the bases: they can be made again only from the same traces."""
    assert make_trace(PROBLEM, TraceType.DEPTH_FIRST, random.Random(1)) == (
        "<think> if A-knave C: A-lies or B-honest true so C-knight B: A-lies true so B-knight A: B C alike true no "
        "back if A-knight B: A-lies false so B-knave C: A-lies or B-honest false so C-knave "
        "A: B C alike true yes B: A-lies false yes C: A-lies or B-honest false yes </think> "
        "<answer> A-knight B-knave C-knave </answer>"
    )


def test_a_budget_too_small_for_one_try_is_refused():
    with pytest.raises(ValueError, match="budget=10"):
        make_trace(PROBLEM, TraceType.GUESS, random.Random(0), budget=10)
