"""The meter counts by replaying states. Every expectation here is worked out by hand on (9, 7, 12) -> 28."""

import random
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubleback.eval.measures.backtracking import replay
from doubleback.recipes.pretrain.traces import TraceType
from doubleback.recipes.tasks.countdown.traces import make_trace
from doubleback.rewards.builtin.countdown import all_problems

FAILED = "12 - 9 = 3 : 7 - 3 = 4 no 3 + 7 = 10 no"
FOUND = "7 + 12 = 19 : 19 + 9 = 28 yes"
RIGHT = "( 7 + 12 ) + 9"


def completion(thought, answer=RIGHT):
    return f"<think> {thought} </think> <answer> {answer} </answer>"


def read(thought, answer=RIGHT, numbers=(9, 7, 12), target=28):
    return replay(completion(thought, answer), numbers, target)


def counts(result):
    return {name: value for name, value in asdict(result).items() if value and name.startswith("num_")}


def test_the_sample_of_the_task():
    result = read(f"{FAILED} back {FOUND}")
    assert counts(result) == {"num_steps": 5, "num_branches": 2, "num_backtracks": 1, "num_checks": 3}
    assert result.is_verified_backtrack
    assert not result.is_abandoned


def test_a_direct_path_does_not_backtrack():
    result = read(FOUND)
    assert counts(result) == {"num_steps": 2, "num_branches": 1, "num_checks": 1}
    assert not result.is_verified_backtrack


def test_trying_the_next_operation_in_a_state_is_no_backtrack():
    result = read("12 + 7 = 19 : 19 - 9 = 10 no 19 + 9 = 28 yes")
    assert counts(result) == {"num_steps": 3, "num_branches": 1, "num_checks": 2}
    assert not result.is_verified_backtrack


@pytest.mark.parametrize(
    ("thought", "answer"),
    [
        (f"{FAILED} back {FOUND}", "( 7 + 12 ) - 9"),  # answers something else
        (f"7 + 12 = 19 : 19 - 9 = 10 no back {FOUND}", RIGHT),  # the same branch again
        (f"12 + 7 = 19 : 19 - 9 = 10 no back {FOUND}", RIGHT),  # the same, spelled the other way round
        (f"{FAILED} back 7 + 12 = 19 : 19 + 9 = 28 no", RIGHT),  # ends in an untrue no
        (f"{FAILED} back 7 + 12 = 19 : 19 - 9 = 10 yes", RIGHT),  # ends in an untrue yes
        (f"{FAILED} back {FOUND} back", RIGHT),  # does not end in the yes
        (f"{FAILED} back {FOUND} 19 - 9 = 10 no", RIGHT),
        (f"12 - 9 = 3 : 7 - 3 = 5 no back {FOUND}", RIGHT),  # an arithmetic error, elsewhere
        (f"12 - 9 = 3 : 3 + 7 = 10 yes back {FOUND}", RIGHT),  # nothing had failed before
        (f"12 - 9 = 3 : back {FOUND}", RIGHT),
        ("12 - 9 = 3 : back 7 + 12 = 19 : 19 - 9 = 10 no 19 + 9 = 28 yes", RIGHT),  # failed only in the last branch
        (f"{FAILED} back 7 + 12 = 19 : 12 + 16 = 28 yes", RIGHT),  # the yes stands on an illegal step
    ],
)
def test_what_is_not_a_verified_backtrack(thought, answer):
    assert not read(thought, answer).is_verified_backtrack


def test_words_of_reflection_are_not_backtracking():
    result = read(f"wait let me double check {FOUND}")
    assert counts(result) == {"num_steps": 2, "num_branches": 1, "num_checks": 1, "num_unparsed": 5}
    assert not result.is_verified_backtrack


def test_missing_back_is_found_by_the_state():
    """7 + 12 stands in the given numbers only: the path { 9 7 12 }, { 3 7 } is left by one backtrack."""
    assert counts(read(f"{FAILED} {FOUND}")) == counts(read(f"{FAILED} back {FOUND}"))
    assert read(f"{FAILED} {FOUND}").is_verified_backtrack


def test_missing_colon_descends_and_missing_check_is_no_backtrack():
    assert counts(read("12 - 9 = 3 7 - 3 = 4 3 + 7 = 10")) == {"num_steps": 3, "num_branches": 1}


def test_an_operation_legal_here_and_above_is_forward_unless_back_says_otherwise():
    """3 + 7 stands in { 3 6 7 } and, after 6 - 3 = 3, in { 3 7 } too."""
    up = read("6 - 3 = 3 : 3 + 7 = 10 no back 3 + 7 = 10 : 10 + 6 = 16 no", numbers=(3, 6, 7), target=1)
    down = read("6 - 3 = 3 : 3 + 7 = 10 no 3 + 7 = 10 : 10 + 6 = 16 no", numbers=(3, 6, 7), target=1)
    assert (up.num_backtracks, up.num_illegal_steps, up.num_branches) == (1, 0, 2)
    # Without `back` 3 + 7 is a step in { 3 7 }; 10 + 6 then stands nowhere.
    assert (down.num_backtracks, down.num_illegal_steps, down.num_branches) == (0, 1, 1)


def test_numbers_may_not_be_used_again():
    """A published checker lets 12 serve twice. Here 12 + 3 stands nowhere once 12 - 9 was made."""
    result = read("12 - 9 = 3 : 12 + 3 = 15 no")
    assert counts(result) == {"num_steps": 2, "num_branches": 1, "num_illegal_steps": 1, "num_checks": 1}
    # Two sevens where one was given.
    assert read("7 + 7 = 14 : 14 + 12 = 26 no").num_illegal_steps == 2


def test_back_after_an_entered_illegal_step_returns_from_it():
    result = read(f"8 + 9 = 17 : 17 + 3 = 20 no back {FOUND}")
    assert (result.num_steps, result.num_checks, result.num_illegal_steps) == (4, 2, 2)
    assert (result.num_branches, result.num_backtracks) == (1, 1)


@pytest.mark.parametrize(
    ("thought", "num_false"),
    [
        ("7 + 12 = 19 : 19 + 9 = 28 yes", 0),
        ("7 + 12 = 19 : 19 + 9 = 28 no", 1),
        ("7 + 12 = 19 : 19 - 9 = 10 yes", 1),
        ("7 + 12 = 19 : 19 - 9 = 10 no", 0),
        ("7 + 12 = 19 no", 0),  # not the target: true, though numbers are left
        ("7 + 12 = 28 yes", 1),  # the target as stated, but 9 is left
        ("7 + 12 = 19 : 19 + 9 = 27 no", 0),  # judged by the result as stated: the slip counts once
        ("7 + 12 = 19 : 20 + 8 = 28 yes", 1),  # the target, from numbers that are not there
        ("7 + 12 = 19 : 20 + 8 = 28 no", 0),
        ("7 + 12 = 19 : 19 - 9 = 10 yes 19 + 9 = 28 no", 2),
    ],
)
def test_checks_are_held_against_target_and_state(thought, num_false):
    assert read(thought).num_false_checks == num_false


def test_arithmetic_errors_are_counted_each_and_their_result_is_carried_on():
    result = read("7 + 12 = 18 : 18 + 9 = 26 no 18 - 9 = 9 no")
    assert (result.num_arithmetic_errors, result.num_illegal_steps) == (2, 0)


@pytest.mark.parametrize(
    ("thought", "is_abandoned"),
    [(FOUND, False), (FAILED, True), (f"{FAILED} back", True), ("", True), (f"{FOUND} back", True)],
)
def test_abandoned_is_not_ending_in_yes(thought, is_abandoned):
    assert read(thought).is_abandoned == is_abandoned


def test_four_numbers_go_back_one_level_or_two():
    numbers, target = (2, 3, 4, 10), 24
    one = "2 + 3 = 5 : 4 + 5 = 9 : 10 - 9 = 1 no 9 + 10 = 19 no back 10 - 5 = 5 : 5 + 4 = 9 no"
    result = read(one, numbers=numbers, target=target)
    assert counts(result) == {"num_steps": 6, "num_branches": 2, "num_backtracks": 1, "num_checks": 3}
    two = f"{one} back back 2 * 10 = 20 : 4 - 3 = 1 : 20 + 1 = 21 no 20 - 1 = 19 no 1 * 20 = 20 no"
    result = read(two, numbers=numbers, target=target)
    assert (result.num_branches, result.num_backtracks) == (3, 2)
    found = "2 * 10 = 20 : 3 + 4 = 7 : 20 - 7 = 13 no back 20 - 3 = 17 : 17 + 4 = 21 yes"
    # Within one first operation: the branch is the pair, and the pair is new.
    assert read(found, "2 * 10 - 3 + 4", numbers, 21).is_verified_backtrack


def test_only_the_thinking_is_replayed():
    assert counts(read(FOUND, answer=FAILED)) == counts(read(FOUND))
    cut_off = replay(f"<think> {FAILED} back 7 + 12 =", [9, 7, 12], 28)
    assert counts(cut_off) == {"num_steps": 3, "num_branches": 1, "num_checks": 2, "num_unparsed": 4}
    assert not cut_off.is_verified_backtrack


def test_stray_words_are_counted():
    assert read("back : no yes 7 + = 3").num_unparsed == 8
    assert read("9999999 + 1 = 2").num_steps == 0


@pytest.mark.slow
@given(st.sampled_from(all_problems(3)), st.integers(0, 2**32))
def test_branches_and_backtracks_of_depth_first_traces_are_their_backs(problem, seed):
    trace = make_trace(problem, TraceType.DEPTH_FIRST, random.Random(seed))
    result = replay(trace, **problem.columns)
    num_backs = trace.split().count("back")
    assert (result.num_branches, result.num_backtracks) == (num_backs + 1, num_backs)
    assert result.is_verified_backtrack == (num_backs > 0 and not result.is_abandoned)


WORDS = ["<think>", "</think>", "<answer>", "</answer>", *":()=+-*", "no", "yes", "back"]
WORDS += ["7", "12", "9", "3", "4", "3 + 4 = 7", "12 - 9 = 3", "²"]


@pytest.mark.slow
@given(st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join) | st.text(max_size=80))
def test_garbage_never_raises(text):
    result = replay(text, [9, 7, 12], 28)
    assert result.num_illegal_steps <= result.num_steps
    assert result.num_false_checks <= result.num_checks <= result.num_steps


def test_huge_numbers_never_raise():
    assert replay("9" * 10_000 + " + 1 = 2 : " + "9" * 10_000, [9, 7, 12], 28).num_steps == 0
