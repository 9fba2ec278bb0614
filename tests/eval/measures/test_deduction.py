"""The meter replays assumptions and derivations. Every expectation is worked out by hand on three people.

A: B-lies. B: A C alike. C: A-honest or B-lies. If A is a knight, B is a knave, so C is a knave, who tells the truth:
a contradiction. So A is a knave, B a knight, C a knave, and what C says is false.
"""

import random
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubleback.eval.measures.deduction import replay
from doubleback.recipes.pretrain.traces import TraceType
from doubleback.recipes.tasks.knights.problems import all_problems
from doubleback.recipes.tasks.knights.traces import make_trace
from doubleback.rewards.builtin.knights import grade
from doubleback.rewards.types import Verdict

STATEMENTS = ["B-lies", "A C alike", "A-honest or B-lies"]
FAILED = (
    "if A-knight A: B-lies so B-knave B: A C alike so C-knave A: B-lies true yes B: yes C: A-honest or B-lies true no"
)
FOUND = "if A-knave A: so B-knight B: A C alike so C-knave A: B-lies false yes B: yes C: A-honest or B-lies false yes"
RIGHT = "A-knave B-knight C-knave"


def read(thought, answer=RIGHT):
    return replay(f"<think> {thought} </think> <answer> {answer} </answer>", STATEMENTS)


def counts(result):
    return {name: value for name, value in asdict(result).items() if value and name.startswith("num_")}


def test_a_search_that_doubles_back():
    result = read(f"{FAILED} back {FOUND}")
    assert counts(result) == {"num_assumptions": 2, "num_derivations": 4, "num_backtracks": 1, "num_checks": 6}
    assert result.is_verified_backtrack
    assert not result.is_abandoned


def test_a_contradiction_may_be_met_earlier_and_by_another():
    # As A is a knight, what C says is true: C is a knight. Then A and C are alike, as only a knight says.
    result = read(f"if A-knight C: so C-knight A: so B-knave B: no back {FOUND}")
    assert counts(result) == {"num_assumptions": 2, "num_derivations": 4, "num_backtracks": 1, "num_checks": 4}
    assert result.is_verified_backtrack


@pytest.mark.parametrize(
    ("thought", "answer"),
    [
        (f"{FAILED} back {FOUND}", "A-knave B-knight C-knight"),  # answers something else
        (FOUND, RIGHT),  # no other branch
        (f"if A-knave B: no back {FOUND}", RIGHT),  # the same branch again, after an untrue no
        (f"{FAILED} back {FOUND[:-4]} no", RIGHT),  # ends in an untrue no
        (f"{FAILED} back {FOUND} back", RIGHT),  # does not end in the yes
        (f"{FAILED} back if A-knave A: so B-knight A: yes", RIGHT),  # C is not settled
        (f"{FAILED} back if A-knave A: so B-knight C: so C-knight", RIGHT),  # an error; no check at the end
        (f"if A-knight A: so B-knight B: so C-knight A: no back {FOUND}", RIGHT),  # an error, elsewhere
        (f"if A-knight A: so B-knave back {FOUND}", RIGHT),  # nothing had failed before
        (f"if A-knight B: no back {FOUND}", RIGHT),  # failed, but not yet to be seen
        ("if A-knave if B-knave A: no back if A-knave if B-knight A: yes", RIGHT),  # C is not settled
        (f"{FAILED} {FOUND.replace('if ', '')}", RIGHT),  # the contradiction was never left
    ],
)
def test_what_is_not_a_verified_backtrack(thought, answer):
    assert not read(thought, answer).is_verified_backtrack


@pytest.mark.parametrize(
    ("thought", "expected"),
    [
        # An assumption about somebody settled leaves what settled them.
        (f"{FAILED} {FOUND}", {"num_assumptions": 2, "num_derivations": 4, "num_backtracks": 1, "num_checks": 6}),
        # Only the assumption about C is left: A is a knight still, and B a knave by what A says.
        (
            "if A-knight if C-knight if C-knave A: so B-knave",
            {"num_assumptions": 3, "num_derivations": 1, "num_backtracks": 1},
        ),
        # `back` leaves both: nothing follows from what A says then.
        (
            "if A-knight if C-knight back A: so B-knave",
            {"num_assumptions": 2, "num_derivations": 1, "num_backtracks": 1, "num_errors": 1},
        ),
        ("back", {"num_unparsed": 1}),
        ("wait let me double check", {"num_unparsed": 5}),
        ("if A-knight back back", {"num_assumptions": 1, "num_unparsed": 1}),
        # What A says forces B to be a knave; the wrong fact stands, and by it A is found out.
        (
            "if A-knight A: so B-knight A: no",
            {"num_assumptions": 1, "num_derivations": 1, "num_errors": 1, "num_checks": 1},
        ),
        # Nothing can be derived from what is contradicted already.
        (
            "if A-knight if B-knight A: so B-knave",
            {"num_assumptions": 2, "num_derivations": 1, "num_errors": 1},
        ),
        # Of B and C nothing follows yet; that something does is untrue.
        ("if A-knight B: A C alike so C-knight", {"num_assumptions": 1, "num_derivations": 1, "num_errors": 1}),
        ("if A-knight B: A C alike open", {"num_assumptions": 1, "num_checks": 1}),
        ("if A-knight A: open", {"num_assumptions": 1, "num_checks": 1, "num_false_checks": 1}),
        ("if A-knight if B-knave A: open", {"num_assumptions": 2, "num_checks": 1, "num_false_checks": 1}),
        ("if A-knight if B-knight A: open", {"num_assumptions": 2, "num_checks": 1, "num_false_checks": 1}),
        # True, false, or not yet to be said.
        ("if A-knight C: true so C-knight", {"num_assumptions": 1, "num_derivations": 1}),
        ("if A-knight C: false so C-knight", {"num_assumptions": 1, "num_derivations": 1, "num_errors": 1}),
        ("if A-knight A: true so B-knave", {"num_assumptions": 1, "num_derivations": 1, "num_errors": 1}),
        # B says nothing of B.
        ("if A-knight if B-knave A: B C alike yes", {"num_assumptions": 2, "num_checks": 1, "num_errors": 1}),
        # There is no D.
        ("if D-knight D: yes A: so D-knave", {"num_errors": 3}),
        # Not settled yet: what A says may be so or not.
        ("if A-knight A: yes", {"num_assumptions": 1, "num_checks": 1, "num_false_checks": 1}),
        ("if A-knight A: no", {"num_assumptions": 1, "num_checks": 1, "num_false_checks": 1}),
    ],
)
def test_what_counts_as_what(thought, expected):
    assert counts(read(thought)) == expected


def test_a_completion_without_an_end_is_read_and_abandoned():
    result = replay(f"<think> {FAILED} back if A-knave", STATEMENTS)
    assert counts(result) == {"num_assumptions": 2, "num_derivations": 2, "num_backtracks": 1, "num_checks": 3}
    assert result.is_abandoned


problems = st.sampled_from(all_problems(2)) | st.sampled_from(all_problems(3)) | st.sampled_from(all_problems(4))


@given(problems, st.sampled_from(TraceType), st.integers(0, 2**32))
def test_every_trace_is_true_in_every_word(problem, kind, seed):
    statements = problem.columns["statements"]
    trace = make_trace(problem, kind, random.Random(seed), budget=300)
    result = replay(trace, statements)
    assert result.num_errors == result.num_false_checks == result.num_unparsed == 0
    assert result.is_abandoned == (grade(trace, statements).verdict != Verdict.CORRECT)
    assert result.num_backtracks == trace.split().count("back")


words = st.sampled_from(
    ["if", "A:", "D:", "A-knight", "B-knave", "C-knave", "D-knight", "back", "yes", "no", "open", "</think>"]
)


@given(st.lists(words, max_size=40))
def test_it_never_raises_and_a_verified_one_always_has_gone_back(said):
    result = replay(" ".join(said), STATEMENTS)
    assert result.num_backtracks >= result.is_verified_backtrack
    assert result.num_false_checks <= result.num_checks
