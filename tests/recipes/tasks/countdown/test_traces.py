"""Traces keep their grammar and their budget, say only what is true, and are the same for the same seed."""

import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubleback.eval.measures.backtracking import replay
from doubleback.recipes.pretrain.traces import DEFAULT_BUDGET, DEFAULT_MIX, TraceType, search_trace
from doubleback.recipes.pretrain.traces import sample_trace as sample_trace_of
from doubleback.recipes.tasks.countdown.traces import Term, make_trace, moves, search
from doubleback.rewards.answers.extract import think_answer
from doubleback.rewards.builtin.countdown import Split, all_problems, grade, make_problem, problems
from doubleback.rewards.types import Verdict

PROBLEM = make_problem([9, 7, 12], 28)
OPERATION = r"[0-9]+ [-+*] [0-9]+ = [0-9]+"
LEAF = rf"{OPERATION} (?:no|yes)"
GRAMMAR = re.compile(rf"<think> {OPERATION} : {LEAF}(?: {LEAF})*(?: back {OPERATION} : {LEAF}(?: {LEAF})*)* </think>.*")


def sample_trace(problem, seed, draw, mix=DEFAULT_MIX):
    return sample_trace_of(search, problem, seed, draw, mix, DEFAULT_BUDGET)


all_sizes = st.sampled_from(all_problems(3)) | st.sampled_from(all_problems(4))
seeds = st.integers(0, 2**32)


def is_correct(problem, trace):
    return grade(trace, **problem.columns).verdict == Verdict.CORRECT


def last_check(trace):
    return re.findall(r"\b(no|yes)\b", trace)[-1]


@given(all_sizes, st.sampled_from(TraceType), seeds, st.integers(40, 160))
def test_every_trace_is_true_legal_in_format_and_in_budget(problem, kind, seed, budget):
    trace = make_trace(problem, kind, random.Random(seed), budget)
    result = replay(trace, **problem.columns)
    assert result.num_steps > 0
    assert result.num_illegal_steps == result.num_arithmetic_errors == result.num_false_checks == 0
    assert result.num_unparsed == 0
    assert think_answer(trace).is_exact
    assert len(trace.split()) + 1 <= budget
    # The answer is what the last check judged.
    assert is_correct(problem, trace) == (last_check(trace) == "yes")


@given(st.sampled_from(all_problems(3)), st.sampled_from(TraceType), seeds)
def test_three_numbers_keep_the_grammar(problem, kind, seed):
    assert GRAMMAR.fullmatch(make_trace(problem, kind, random.Random(seed)))


@given(all_sizes, seeds)
def test_optimal_is_one_right_path(problem, seed):
    trace = make_trace(problem, TraceType.OPTIMAL, random.Random(seed))
    assert is_correct(problem, trace)
    result = replay(trace, **problem.columns)
    assert (result.num_steps, result.num_checks) == (len(problem.columns["numbers"]) - 1, 1)


@given(all_sizes, seeds)
def test_guess_is_one_path(problem, seed):
    result = replay(make_trace(problem, TraceType.GUESS, random.Random(seed)), **problem.columns)
    assert (result.num_steps, result.num_checks) == (len(problem.columns["numbers"]) - 1, 1)


@given(all_sizes, seeds)
def test_short_search_makes_two_to_four_tries_or_succeeds(problem, seed):
    trace = make_trace(problem, TraceType.SHORT, random.Random(seed), budget=500)
    num_checks = replay(trace, **problem.columns).num_checks
    # From 9 9 9 only 9 + 9 = 18 is legal: a search that gives that state up after one try has nowhere else to go.
    first_moves = moves(tuple(Term(number, str(number)) for number in problem.columns["numbers"]))
    assert 2 <= num_checks <= 4 or (num_checks == 1 and (is_correct(problem, trace) or len(first_moves) == 1))


@given(st.sampled_from(all_problems(3)), seeds)
def test_depth_first_never_repeats_and_empties_a_state_before_it_goes_back(problem, seed):
    trace = make_trace(problem, TraceType.DEPTH_FIRST, random.Random(seed), budget=1000)
    thought = trace.removeprefix("<think> ").partition(" </think>")[0]
    branches = thought.split(" back ")
    firsts = [branch.partition(" : ")[0] for branch in branches]
    assert len(set(firsts)) == len(firsts)
    for branch in branches[:-1]:
        first, _, leaves = branch.partition(" : ")
        left, _, right, _, result = first.split()
        rest = Counter(problem.columns["numbers"]) - Counter([int(left), int(right)])
        state = tuple(Term(value, str(value)) for value in [int(result), *rest.elements()])
        tried = re.findall(r"([0-9]+) ([-+*]) ([0-9]+) =", leaves)
        assert len(tried) == len(set(tried)) == len(moves(state))


def test_depth_first_without_a_budget_finds_every_target_unless_it_loses_patience():
    solved = []
    for i, problem in enumerate(problems(3, Split.TEST)):
        trace = make_trace(problem, TraceType.DEPTH_FIRST, random.Random(i), budget=1000)
        solved.append(is_correct(problem, trace))
        # Nobody gives up after more than eight tries.
        assert solved[-1] or 2 <= replay(trace, **problem.columns).num_checks <= 8
    assert 0.7 < sum(solved) / len(solved) < 1.0


def test_moves_of_a_state_worked_by_hand():
    state = (Term(9, "9"), Term(7, "7"), Term(12, "12"))
    # 9 * 7, 9 * 12 and 7 * 12 pass 50.
    assert {move.text for move in moves(state)} == {
        *("9 + 7 = 16", "9 - 7 = 2", "9 + 12 = 21", "12 - 9 = 3", "7 + 12 = 19", "12 - 7 = 5")
    }
    (minus,) = [move for move in moves(state) if move.text == "12 - 9 = 3"]
    assert minus.state == (Term(3, "12 - 9"), Term(7, "7"))
    expressions = [move.state[0].expression for move in moves(minus.state)]
    assert expressions == ["( 12 - 9 ) + 7", "7 - ( 12 - 9 )", "( 12 - 9 ) * 7"]
    # Equal numbers give one operation each; 6 - 6 = 0 is out of range.
    sixes = (Term(6, "6"), Term(6, "6"), Term(6, "6"))
    assert [move.text for move in moves(sixes)] == ["6 + 6 = 12", "6 * 6 = 36"]
    # 5 * 6 beside 30 would leave { 30, 30 }, from which nothing in range can be made.
    assert "5 * 6 = 30" not in {move.text for move in moves((Term(30, "5 * 6"), Term(5, "5"), Term(6, "6")))}


def test_a_trace_is_a_function_of_seed_draw_and_problem():
    traces = {(seed, draw): sample_trace(PROBLEM, seed, draw) for seed in range(5) for draw in range(5)}
    assert all(sample_trace(PROBLEM, *key) == trace for key, trace in traces.items())
    assert len(set(traces.values())) > 10
    assert traces[0, 0] == FROZEN_TRACE


# Protects the bases: they can be made again only from the same traces.
FROZEN_TRACE = (
    "<think> 12 - 9 = 3 : 7 - 3 = 4 no back 12 + 9 = 21 : 21 + 7 = 28 yes </think> <answer> ( 12 + 9 ) + 7 </answer>"
)


def test_mix_draws_the_kinds_in_their_shares(monkeypatch):
    import doubleback.recipes.pretrain.traces as module

    monkeypatch.setattr(module, "make_trace", lambda search, problem, kind, rng, budget: kind)
    kinds = Counter(sample_trace(PROBLEM, 0, draw) for draw in range(4000))
    for kind, share in DEFAULT_MIX.items():
        assert kinds[kind] / 4000 == pytest.approx(share, abs=0.025)  # three standard deviations of the largest
    assert sum(DEFAULT_MIX.values()) == pytest.approx(1.0)
    only = {sample_trace(PROBLEM, 0, draw, {TraceType.OPTIMAL: 1.0}) for draw in range(50)}
    assert only == {TraceType.OPTIMAL}


def test_a_budget_too_small_for_one_try_is_refused():
    make_trace(PROBLEM, TraceType.GUESS, random.Random(0), budget=24)
    with pytest.raises(ValueError, match="budget=23"):
        make_trace(PROBLEM, TraceType.GUESS, random.Random(0), budget=23)


@pytest.mark.slow
@given(all_sizes, seeds)
def test_a_search_goes_back_and_ends_right_or_with_the_try_before(problem, seed):
    right = search_trace(search, problem, random.Random(seed))
    wrong = search_trace(search, problem, random.Random(seed), is_right=False)
    if right is None:
        assert wrong is None
        return
    assert replay(right, **problem.columns).is_verified_backtrack
    thoughts, failed = right.split(" </think>")[0], wrong.split(" </think>")[0]
    assert thoughts.startswith(failed)  # the same search, given up
    assert thoughts.count(" yes") == 1
    assert re.findall("no|yes", thoughts)[:-1] == re.findall("no|yes", failed)
    result = replay(wrong, **problem.columns)
    assert not is_correct(problem, wrong)
    assert result.num_backtracks >= 1
    assert result.num_arithmetic_errors == result.num_false_checks == result.num_unparsed == 0


def test_what_every_branch_solves_has_no_search():
    # 1 + 1 = 2, 1 * 1 = 1 : 1 + 1 = 2: the first branch is left for another only after all of it has failed.
    assert search_trace(search, make_problem([1, 1, 1], 2), random.Random(0)) is None
