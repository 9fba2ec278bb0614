"""Rejection sampling: what is kept, what is dropped and why, whatever the order."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubleback.recipes.recipe.imitation.harvest import WHY, HarvestOptions, harvest


def line(problem="p", text="a b", verdict="correct", **more):
    return {"problem": problem, "completion": text, "verdict": verdict, "finish_reason": "stop", **more}


SAMPLES = [
    line(text="seven", tokens=7),
    line(text="nine", tokens=9),
    line(text="five", tokens=5, verdict="wrong"),
    line(text=" seven\n", tokens=7),
]


def counts(found):
    return {why: count for why, count in found.dropped.items() if count}


def test_the_example_of_the_docstring():
    found = harvest(SAMPLES, HarvestOptions(per_problem=1, order="shortest"))
    assert [kept["completion"] for kept in found.lines] == ["seven"]
    assert counts(found) == {"wrong": 1, "said before": 1, "beyond per_problem": 1}
    assert (found.num_problems, list(found.dropped)) == (1, list(WHY))


@pytest.mark.parametrize(
    ("sample", "why"),
    [
        (line(verdict="timeout"), "not judged"),
        (line(verdict=None), "not judged"),
        (line(verdict="no_answer"), "wrong"),
        (line(finish_reason="length"), "cut off"),
        (line(parts={"format": 0.5}), "without the form"),
    ],
)
def test_what_is_not_worth_it_is_dropped_for_its_reason(sample, why):
    found = harvest([sample, line("q")], HarvestOptions())
    assert ([kept["problem"] for kept in found.lines], counts(found)) == (["q"], {why: 1})


def test_the_form_counts_where_it_was_judged_and_asked_for():
    lacking = line(parts={"format": 0.0})
    assert harvest([lacking], HarvestOptions(keeps_form=False)).lines == [lacking]
    assert counts(harvest([line(parts={"format": 1.0}), line("q", parts={})], HarvestOptions())) == {}


def test_problems_of_each_difficulty_are_as_many():
    """Two problems solved once in four (a, b), three always (c, d, e): two of each stay, with all of their samples."""
    hard = [line(name, text, "correct" if text == "0" else "wrong") for name in "ab" for text in "0123"]
    easy = [line(name, text) for name in "cde" for text in "0123"]
    found = harvest([*hard, *easy], HarvestOptions(balance=True))
    kept = [sample["problem"] for sample in found.lines]
    assert {name: kept.count(name) for name in "ab"} == {"a": 1, "b": 1}
    assert sorted(kept.count(name) for name in "cde") == [0, 4, 4]
    assert counts(found) == {"wrong": 6, "for balance": 4}


@given(
    st.lists(
        st.tuples(st.sampled_from("pqr"), st.sampled_from("abcdef"), st.sampled_from(["correct", "wrong", "timeout"])),
        max_size=40,
    ),
    st.booleans(),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
def test_everything_is_counted_and_the_order_decides_nothing(rows, balance, per_problem, rng: random.Random):
    lines = [line(problem, text, verdict) for problem, text, verdict in rows]
    options = HarvestOptions(per_problem=per_problem, balance=balance)
    found = harvest(lines, options)
    assert len(found.lines) + sum(found.dropped.values()) == len(lines)
    assert all(sample["verdict"] == "correct" for sample in found.lines)
    shuffled = rng.sample(lines, len(lines))
    again = harvest(shuffled, options)
    assert again.dropped == found.dropped
    assert sorted((it["problem"], it["completion"]) for it in again.lines) == sorted(
        (it["problem"], it["completion"]) for it in found.lines
    )
