"""Seeds depend on what is asked, never on what was asked before."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from doubleback.rl.seeds import sample_seed, sample_seeds


def test_seeds_are_pinned():
    """Stored runs resume with these: another value here breaks every unfinished run."""
    assert sample_seed(0, "step 1", "3-5-7-22") == 4447298048399663443
    assert sample_seed(17, "eval 20", "a") == 2251846125143176017


@given(st.integers(0, 2**31), st.text(max_size=10), st.text(max_size=10))
def test_seeds_leave_room_for_the_group_in_a_signed_64_bit_integer(run_seed, stage, problem_id):
    assert 0 <= sample_seed(run_seed, stage, problem_id) < 2**62


def test_seeds_differ_between_runs_stages_and_problems_by_more_than_a_group():
    seeds = sorted(
        sample_seed(run, stage, f"problem {number}", occurrence)
        for occurrence in range(3)
        for run in range(3)
        for stage in ("step 1", "step 2", "step 11", "eval 0")
        for number in range(200)
    )
    assert min(later - earlier for earlier, later in itertools.pairwise(seeds)) > 1024


def test_a_problem_that_stands_again_has_a_seed_of_its_own_and_the_first_keeps_its():
    first, other, again = sample_seeds(0, "step 1", ["3-5-7-22", "b", "3-5-7-22"])
    assert (first, other) == (sample_seed(0, "step 1", "3-5-7-22"), sample_seed(0, "step 1", "b"))
    assert len({first, other, again}) == 3
    assert sample_seeds(0, "step 1", ["3-5-7-22"], before=["b", "3-5-7-22"]) == [again]
