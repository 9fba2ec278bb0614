"""Seeds and the order of problems: they depend on what is asked, never on what was asked before."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubleback.rewards.types import Problem
from doubleback.rl.seeds import problem_batches, sample_seed


def ids(num_problems, batch_size, seed, start, num_batches):
    problems = [Problem(str(index), "") for index in range(num_problems)]
    batches = problem_batches(problems, batch_size, seed, start)
    return [[problem.id for problem in batch] for batch in itertools.islice(batches, num_batches)]


def test_seeds_are_pinned():
    """Stored runs resume with these: another value here breaks every unfinished run."""
    assert sample_seed(0, "step 1", "3-5-7-22") == 4447298048399663443
    assert sample_seed(17, "eval 20", "a") == 2251846125143176017


def test_order_of_problems_is_pinned():
    assert ids(7, 3, seed=5, start=1, num_batches=5) == [
        ["2", "0", "4"],
        ["1", "3", "6"],
        ["5", "1", "5"],
        ["2", "3", "4"],
        ["6", "0", "3"],
    ]


@given(st.integers(0, 2**31), st.text(max_size=10), st.text(max_size=10))
def test_seeds_leave_room_for_the_group_in_a_signed_64_bit_integer(run_seed, stage, problem_id):
    assert 0 <= sample_seed(run_seed, stage, problem_id) < 2**62


def test_seeds_differ_between_runs_stages_and_problems_by_more_than_a_group():
    seeds = sorted(
        sample_seed(run, stage, f"problem {number}")
        for run in range(3)
        for stage in ("step 1", "step 2", "step 11", "eval 0")
        for number in range(200)
    )
    assert min(later - earlier for earlier, later in itertools.pairwise(seeds)) > 1024


@given(
    num_problems=st.integers(1, 20),
    batch_size=st.integers(1, 25),
    seed=st.integers(0, 5),
    start=st.integers(1, 40),
)
def test_starting_at_a_step_equals_skipping_to_it(num_problems, batch_size, seed, start):
    skipped = ids(num_problems, batch_size, seed, 1, start + 2)[start - 1 :]
    assert ids(num_problems, batch_size, seed, start, 3) == skipped


@given(num_problems=st.integers(1, 20), batch_size=st.integers(1, 25), seed=st.integers(0, 5))
def test_every_epoch_holds_every_problem_once(num_problems, batch_size, seed):
    num_batches = 3 * num_problems
    stream = list(itertools.chain(*ids(num_problems, batch_size, seed, 1, num_batches)))
    assert len(stream) == num_batches * batch_size
    for start in range(0, len(stream) - num_problems + 1, num_problems):
        assert sorted(stream[start : start + num_problems], key=int) == [str(i) for i in range(num_problems)]


@pytest.mark.parametrize("other", [{"seed": 1}, {"start": 11}])
def test_order_changes_with_seed_and_epoch(other):
    settings = {"num_problems": 20, "batch_size": 20, "seed": 0, "start": 1, "num_batches": 1}
    assert ids(**settings) != ids(**(settings | other))
