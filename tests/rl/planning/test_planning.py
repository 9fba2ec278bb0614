"""The plan for more GPUs than there are: its parts by hand, what must hold of every plan, and its error."""

from dataclasses import replace
from statistics import fmean

import pytest
from support.paths import ROOT

from doubleback.rl.planning.accelerators import ACCELERATORS, Accelerator
from doubleback.rl.planning.published import MEASURED, QWEN3_30B_A3B
from doubleback.rl.planning.sampling import Replica, num_gpus_for, sampled
from doubleback.rl.planning.step import COUNTS, Machine, plan, pushed, reduced
from doubleback.rl.planning.workload import FEWEST_SHARDS, Shape, Workload, lengths
from doubleback.rl.scale import SHARDS

GPU = Accelerator(memory=10e9, bandwidth=1e12, flops=1e15, source="invented")
DENSE = Shape(1e9, 0, 1, 0, num_layers=10, attention_width=100, kv_bytes=1000, width=2)
EXPERTS = replace(DENSE, num_experts=4, num_expert_parameters=8e8)
STEP = Workload(64, 16, 200, 1500, 6000, 256, 2, 1.3e9, 1.3e9, 8)


def test_a_pass_reads_the_weights_and_the_cache_by_hand():
    """2 GB at .7 TB/s, and ten layers of 60 us; two sequences of 500,000 tokens read a GB of cache besides."""
    replica = Replica(DENSE, GPU, 1)
    assert replica.pass_seconds(1, 0) == pytest.approx(2e9 / 0.7e12 + 600e-6)
    assert replica.pass_seconds(2, 500_000) == pytest.approx(3e9 / 0.7e12 + 600e-6)
    assert Replica(DENSE, GPU, 2).pass_seconds(1, 0) == pytest.approx(1e9 / 0.7e12 + 600e-6)


def test_a_pass_of_many_is_bound_by_arithmetic_by_hand():
    """10,000 tokens of 2e9 operations, at .3 of 1e15 a second."""
    assert Replica(DENSE, GPU, 1).pass_seconds(10_000, 0) == pytest.approx(2e13 / 3e14 + 600e-6)


def test_experts_are_read_where_a_token_meets_them_by_hand():
    """One of four experts a token: .2e9 parameters that all meet, of .8e9 a quarter, and 1 - (3/4)^2 of two tokens."""
    assert EXPERTS.num_active == pytest.approx(4e8)
    assert EXPERTS.read_bytes(2) == pytest.approx(2 * (2e8 + 8e8 * 0.4375))
    assert DENSE.num_active == 1e9
    assert DENSE.forward_flops(1000) == pytest.approx(2e9 + 2 * 10 * 100 * 1000)


def test_lengths_have_their_mean_and_none_is_longer_than_allowed():
    drawn = lengths(STEP)
    assert len(drawn) == 1024
    assert fmean(drawn) == pytest.approx(1500, rel=1e-6)
    assert 5000 < max(drawn) <= 6000
    assert sorted(drawn) != drawn == lengths(STEP)
    assert min(lengths(replace(STEP, mean_tokens=6000))) == pytest.approx(6000)


def test_the_next_completion_begins_where_one_ends_by_hand():
    """Three of 10 tokens, two at a time: ten passes of two, then ten of one. Alone, the longest takes ten of one."""
    three = replace(STEP, num_problems=3, group_size=1, mean_tokens=10, max_tokens=10, max_num_seqs=2)
    replica = Replica(DENSE, GPU, 1)
    found = sampled(replica, three, [10.0, 10.0, 10.0], 1)
    two, one = (replica.pass_seconds(number, 205) for number in (2, 1))
    assert found.decode == pytest.approx(10 * two + 10 * one)
    assert found.longest == pytest.approx(10 * one)
    assert found.prefill == pytest.approx(3 * 200 * (2e9 + 2 * 10 * 100 * 200) / 3e14)


def test_what_travels_by_hand():
    """1.3 GB: through one machine's memory at 10 GB/s; to 16 machines in four hops at 3 GB/s. Shards one by one."""
    assert pushed(1.3e9, 8) == pytest.approx(0.13)
    assert pushed(1.3e9, 128) == pytest.approx(4 * 1.3 / 3 + 0.13)
    assert reduced(STEP, 1) == 0
    assert reduced(STEP, 4) == pytest.approx(4 * 0.13)
    assert reduced(STEP, 16) == pytest.approx(8 * 0.13 + 8 * 1.3 / 3)
    assert reduced(replace(STEP, num_shards=4), 16) == pytest.approx(2 * 0.13 + 2 * 1.3 / 3)


def test_a_step_is_cut_into_eight_shards_or_one_for_each_gpu_or_one_for_each_problem():
    assert FEWEST_SHARDS == SHARDS
    assert [STEP.shards(number) for number in (2, 16, 128)] == [2, 16, 128]  # nobody says how many there may be
    free = replace(STEP, most_shards=64)
    assert [free.shards(number) for number in (2, 16, 128)] == [8, 16, 64]
    assert replace(free, num_shards=4).shards(128) == 4
    steps = [Machine(GPU, 1).step(DENSE, free, 8 + number, "split", 8 / (8 + number)) for number in (1, 3, 8)]
    alone, three, eight = (step.update for step in steps)
    assert (alone / three, alone / eight) == (pytest.approx(8 / 3), pytest.approx(8))  # of 8 shards one has 3 to do


def test_engines_take_as_many_gpus_as_their_weights_and_cache_need():
    """61 GB and 16 completions of 4296 tokens at 98 kB: 68 GB, all that may be filled of 80; 68.05 with 4400."""
    assert [num_gpus_for(QWEN3_30B_A3B, ACCELERATORS[name], 4296) for name in ("H100", "H200", "L40S")] == [1, 1, 2]
    assert num_gpus_for(QWEN3_30B_A3B, ACCELERATORS["H100"], 4600) == 2


def test_a_step_is_the_sum_of_its_parts_or_of_the_longer_one():
    machine = Machine(GPU, 1)
    split, ahead = (machine.step(DENSE, STEP, 16, mode, 0.5) for mode in ("split", "ahead"))
    learning = split.update + split.reduction
    assert (split.num_replicas, split.num_learning) == (8, 8)
    assert split.seconds == pytest.approx(split.sampling.seconds + learning + split.push + split.canaries)
    assert ahead.seconds == pytest.approx(max(ahead.sampling.seconds, learning) + ahead.push + ahead.canaries)
    far = machine.step(DENSE, replace(STEP, steps_of_adapter=2), 16, "ahead", 0.5)  # two steps of one adapter
    assert far.seconds == pytest.approx(max(ahead.sampling.seconds, learning) + (ahead.push + ahead.canaries) / 2)
    assert ahead.tokens_per_gpu == pytest.approx(1024 * 1500 / ahead.seconds / 16)
    assert machine.step(DENSE, STEP, 1, "split", 0.5) is None


def test_more_gpus_are_never_slower_where_nothing_travels():
    steps = plan(ACCELERATORS["H100"], QWEN3_30B_A3B, replace(STEP, adapter_bytes=0, gradient_bytes=0))
    for mode in ("colocated", "split", "ahead"):
        seconds = [step.seconds for step in steps if step.mode == mode]
        assert seconds == sorted(seconds, reverse=True)
        assert len(seconds) >= len(COUNTS) - 2  # an engine takes two GPUs here


def test_what_most_of_a_step_is_spent_on():
    small = replace(STEP, adapter_bytes=27e6, gradient_bytes=27e6)
    gpu = ACCELERATORS["H100"]

    def at(count, workload):
        return next(step for step in plan(gpu, QWEN3_30B_A3B, workload) if step.num_gpus == count).saturated

    assert at(4, small) == "sampling"
    assert at(512, small) == "the longest completion"
    assert at(512, STEP) == "the reduction"
    assert at(8, replace(small, mean_tokens=10, max_tokens=20, prompt_tokens=4000)) == "the update"


@pytest.mark.parametrize("name", MEASURED)
def test_the_error_against_published_steps_is_what_the_page_states(name):
    measured = MEASURED[name]
    assert abs(measured.error) < (0.15 if name.startswith("Qwen3-30B") else 0.5)
    line = f"| {name} | {measured.seconds:g} s | {measured.estimated:.0f} s | {measured.error:+.0%} |"
    assert line in (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


def test_the_lengths_of_a_step_are_drawn_once_a_plan():
    """They depend on the workload alone, and a plan asks for them for every number of GPUs and every split."""
    lengths.cache_clear()
    plan(GPU, DENSE, STEP)
    assert (lengths.cache_info().misses, lengths.cache_info().hits > 10) == (1, True)
