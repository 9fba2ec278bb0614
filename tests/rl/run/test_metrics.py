"""Every number that a step reports is documented, and is what its line says."""

import math
import re
from dataclasses import replace

import pytest
import torch
from support.rollouts import make_completion, make_group, random_groups
from torch import tensor

from doubleback.rewards.types import Problem, Score, Verdict
from doubleback.rl.config import OptimConfig, ProblemsConfig, SamplingConfig
from doubleback.rl.learner.batching import assign, make_batch, microbatches
from doubleback.rl.learner.layouts import Padded
from doubleback.rl.learner.learner import Learner
from doubleback.rl.learner.loss import TokenValues, loss_terms
from doubleback.rl.learner.tally import Tally
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.rollout.problems import ProblemSource
from doubleback.rl.rollout.sampler import Rollout
from doubleback.rl.run.journal import StepReport
from doubleback.rl.run.metrics import METRICS, rollout_metrics
from doubleback.rl.sync import Receipt
from doubleback.rl.types import Group, Routes, Sample

CPU = torch.device("cpu")
SAMPLING = SamplingConfig(max_tokens=12)


def is_documented(name):
    if match := re.fullmatch(r"(reward/\w+)/\w+", name):
        return f"{match[1]}/NAME" in METRICS
    if name.removeprefix("verdict/") in list(Verdict):
        return "verdict/correct" in METRICS
    return name in METRICS


def to_one_expert(group):
    """Routes of every token of the group through one layer."""
    lengths = [len(group.prompt_ids) + len(completion.token_ids) - 1 for completion in group.completions]
    return tuple(Routes(bytes(length), (length, 1, 1), 4) for length in lengths)


def curriculum_metrics():
    problems = [Problem("a", "", {"level": 1}), Problem("b", "", {"level": 2})]
    return ProblemSource(problems, ProblemsConfig(level="level", max_pass_rate=0.9), 0).metrics()


def report(learned, groups, batch, **rollout):
    """The report of a step: half a second of sampling, a quarter and an eighth of scoring, a sixteenth of sync."""
    seconds = {"rollout": 0.5, "reward": 0.25}
    rollout = Rollout(tuple(groups), seconds=seconds, sampled_at=16.75, queue_seconds=0.125, **rollout)
    seconds = {"sync": 0.0625, "receipt": 0.25}
    figures = {"mean_abs": 1e-6, "max_abs": 2e-6, "moved": 0.1, "from_base": 0.2, "bound": 1e-5}
    receipt = Receipt(1, "hash", **figures, seconds=seconds)
    return StepReport(1, rollout, replace(batch, seconds=0.125), learned, receipt, 0.03125)


EVERYTHING = AlgorithmConfig(kl_coef=0.1, dual_clip=3.0, importance_floor=0.5, entropy_target=1.0)
"""Every term that has metrics of its own."""


@pytest.mark.parametrize(
    "algorithm", [AlgorithmConfig(), AlgorithmConfig(kl_coef=0.1, importance_cap=None), EVERYTHING]
)
@pytest.mark.parametrize("rewards", [[[1.0, 0.0, None, 0.5]], [[None, None]], [[0.5, 0.5]]], ids=str)
def test_every_metric_is_documented(make_policy, algorithm, rewards):
    groups = assign(random_groups(rewards), algorithm)
    batch = make_batch(groups, algorithm, SAMPLING)
    learned = Learner(make_policy(), algorithm, OptimConfig(), SAMPLING.sampling()).update(batch)
    names = report(learned, groups, batch).metrics(2.0, 16.5, 16.0)
    assert [name for name in names if not is_documented(name)] == []
    assert {name.split("/")[0] for name in names} >= {
        "learner",
        "gap",
        "reward",
        "verdict",
        "rollout",
        "seconds",
        "speed",
    }


def test_every_documented_metric_of_a_step_is_reported(make_policy):
    groups = [replace(group, penalties=(0.1, 0.2)) for group in random_groups([[1.0, 0.0]])]
    groups = assign(groups, EVERYTHING)
    batch = make_batch(groups, EVERYTHING, SAMPLING)
    learned = Learner(make_policy(), EVERYTHING, OptimConfig(), SAMPLING.sampling()).update(batch)
    batch = replace(batch, groups=tuple(replace(group, routes=to_one_expert(group)) for group in groups))
    names = report(learned, groups, batch, problem_metrics=curriculum_metrics()).metrics(2.0, 16.5, 16.0)
    # What a teacher says is of kind distil alone: tests/recipes/recipe/imitation/test_distil.py.
    # Those of a fleet are in tests/rl/rollout/test_standing.py.
    others = ("eval/", "strand/", "learner/kl_teacher", "fleet/")
    expected = {name for name in METRICS if not name.startswith(others)}
    assert expected - {name.replace("/task", "/NAME") for name in names} == set()


def test_length_correlation_and_weighted_parts_by_hand():
    lengths, values = [2, 4, 6, 9], [0.0, 1.0, 1.0, None]
    completions = [make_completion([3] * length) for length in lengths]
    group = make_group((1, 5), completions, values)
    metrics = rollout_metrics([group], make_batch(assign([group], AlgorithmConfig()), AlgorithmConfig(), SAMPLING))
    # lengths 2 4 6 against 0 1 1: covariance 2/3, deviations sqrt(8/3) and sqrt(2/9)
    assert metrics["reward/length_correlation/task"] == pytest.approx((2 / 3) / math.sqrt(8 / 3 * 2 / 9), abs=1e-12)
    assert metrics["reward/weighted/task"] == pytest.approx(2 / 3, abs=1e-12)
    constant = make_group((1, 5), completions[:2], [1.0, 1.0])
    batch = make_batch(assign([constant], AlgorithmConfig()), AlgorithmConfig(), SAMPLING)
    assert math.isnan(rollout_metrics([constant], batch)["reward/length_correlation/task"])


def test_times_and_speeds_of_a_report_by_hand():
    groups = assign(random_groups([[1.0, 0.0]]), AlgorithmConfig())
    batch = make_batch(groups, AlgorithmConfig(), SAMPLING)
    learned = {"learner/tokens": 50.0, "seconds/update": 0.25}
    metrics = report(learned, groups, batch).metrics(step_seconds=2.0, began=16.5, origin=16.0)
    seconds = {"rollout": 0.5, "reward": 0.375, "queue": 0.125, "update": 0.25, "wait": 0.03125, "sync": 0.0625}
    seconds |= {"step": 2.0, "began_at": 0.5, "sampled_at": 0.75}
    assert {name: metrics[f"seconds/{name}"] for name in seconds} == seconds
    num_tokens = sum(len(item.token_ids) for group in groups for item in group.completions)
    assert metrics["speed/rollout_tokens_per_s"] == 2 * num_tokens
    assert metrics["speed/update_tokens_per_s"] == 200.0


def test_rollout_metrics_by_hand():
    scores = (
        Score(1.1, Verdict.CORRECT, parts={"countdown": 1.0, "format": 1.0}),
        Score(0.1, Verdict.WRONG, parts={"countdown": 0.0, "format": 1.0}),
        Score(0.0, Verdict.TRUNCATED, parts={"countdown": 0.0}),
        Score(None, Verdict.TIMEOUT),
    )
    completions = (
        make_completion([5, 6, 2]),
        make_completion([5, 2]),
        make_completion([5] * 12, finish_reason="length"),
        make_completion([7, 7, 2]),
    )
    mixed = make_group([1, 20], completions, [0.0] * 4)
    flat = make_group([1, 21], [make_completion([5, 2])] * 4, [0.0] * 4)
    mixed, flat = assign([Group(mixed.problem, mixed.prompt_ids, completions, scores), flat], AlgorithmConfig())
    metrics = rollout_metrics([mixed, flat], make_batch([mixed, flat], AlgorithmConfig(), SAMPLING))
    assert metrics["reward/mean"] == pytest.approx(1.2 / 7)
    assert metrics["reward/std"] == pytest.approx(math.sqrt((1.21 + 0.01) / 7 - (1.2 / 7) ** 2))
    assert metrics["reward/part/countdown"] == pytest.approx(1 / 3)
    assert metrics["reward/part/format"] == 1.0
    assert metrics["reward/part/task"] == 0.0
    verdicts = {"correct": 1 / 8, "wrong": 5 / 8, "truncated": 1 / 8, "timeout": 1 / 8}
    assert {v: metrics[f"verdict/{v}"] for v in Verdict} == {v: verdicts.get(v, 0.0) for v in Verdict}
    assert metrics["rollout/num_completions"] == 8
    assert metrics["rollout/tokens"] == 3 + 2 + 12 + 3 + 4 * 2
    assert metrics["rollout/mean_tokens"] == 28 / 8
    assert metrics["rollout/max_tokens"] == 12
    assert metrics["rollout/cut_off"] == metrics["rollout/unusable"] == 1 / 8
    assert metrics["rollout/zero_variance"] == 1 / 2


def test_a_step_that_nobody_could_judge_has_no_reward():
    groups = assign(random_groups([[None, None]]), AlgorithmConfig())
    metrics = rollout_metrics(groups, make_batch(groups, AlgorithmConfig(), SAMPLING))
    assert math.isnan(metrics["reward/mean"])
    assert math.isnan(metrics["reward/std"])
    assert metrics["rollout/unusable"] == metrics["verdict/timeout"] == 1.0


RATIOS = {
    1.0: [1.3, 1.2, 0.5, 1.0],
    -1.0: [1.3, 0.79, 0.5, 0.81],
    0.0: [9.0, 0.1],
}
"""Advantage -> new / old probability of each token."""


def tally_of(cap, max_tokens=100, **algorithm):
    """log old = -1 throughout; the sampler's probability is half the trainer's on every second token, else equal."""
    samples = [
        Sample((1,), (5,) * len(ratios), (-1 - math.log(2), -1.0) * (len(ratios) // 2), advantage, 0.1)
        for advantage, ratios in RATIOS.items()
    ]
    tally = Tally()
    for micro in microbatches(samples, max_tokens, CPU, Padded()):
        old, new = torch.full(micro.loss_mask_BT.shape, -1.0), torch.full(micro.loss_mask_BT.shape, 7.0)
        for index, row in enumerate(micro.rows):
            ratios = list(RATIOS.values())[row]
            new[index, : len(ratios)] = tensor(ratios).log() - 1
        new, old = new.where(micro.loss_mask_BT, 0.0), old.where(micro.loss_mask_BT, 0.0)
        entropy = torch.full_like(old, 1.5).where(micro.loss_mask_BT, 0.0)
        values = TokenValues(new, entropy, old)
        terms = loss_terms(micro, values, AlgorithmConfig(importance_cap=cap, **algorithm), 0.0)
        tally.add(micro, values, replace(terms, loss=tensor(0.25)))
    tally.add_update(3.0)
    return tally.means()


@pytest.mark.parametrize("max_tokens", [1, 100])
def test_clip_shares_gap_and_cap_by_hand(max_tokens):
    """Clipped: 1.3 above with advantage 1; 0.79 and 0.5 below with advantage -1; none with advantage 0."""
    means = tally_of(cap=2.0, max_tokens=max_tokens)
    assert means["learner/tokens"] == 10
    assert means["learner/clip_high"] == pytest.approx(1 / 10)
    assert means["learner/clip_low"] == pytest.approx(2 / 10)
    assert means["learner/entropy"] == pytest.approx(1.5)
    assert means["learner/importance_capped"] == pytest.approx(5 / 10)
    assert means["gap/mean_abs"] == pytest.approx(math.log(2) / 2)
    assert means["gap/max_abs"] == pytest.approx(math.log(2))
    assert means["gap/k3"] == pytest.approx((2 - math.log(2) - 1) / 2)
    assert means["learner/grad_norm"] == 3.0
    assert means["learner/loss"] == pytest.approx(0.25 * (3 if max_tokens == 1 else 1))


def test_shares_of_the_other_bounds_by_hand():
    """Advantage -1 has one ratio above 1.29; 5 of 10 importance ratios are 2, the others 1."""
    means = tally_of(cap=2.5, dual_clip=1.29, importance_floor=1.5)
    assert means["learner/dual_clip"] == pytest.approx(1 / 10)
    assert means["learner/importance_capped"] == 0
    assert means["learner/importance_floored"] == pytest.approx(5 / 10)


def test_shares_of_sequences_count_their_tokens():
    """Products of importance ratios are 4, 4 and 2; geometric means of ratios 0.94, 0.80 and 0.95."""
    means = tally_of(cap=3.0, importance="sequence_truncate", ratio="sequence", clip_low=0.1)
    assert means["learner/importance_capped"] == pytest.approx(8 / 10)
    assert means["learner/clip_low"] == pytest.approx(4 / 10)
    assert means["learner/clip_high"] == 0


def test_a_ratio_to_the_sampler_is_what_is_clipped():
    """Then it is 2.6, 1.2, 1 and 1 with advantage 1, and 2.6, 0.79, 1 and 0.81 with advantage -1."""
    means = tally_of(cap=2.0, old_logprobs="sampler")
    assert means["learner/clip_high"] == pytest.approx(1 / 10)
    assert means["learner/clip_low"] == pytest.approx(1 / 10)
    assert means["gap/mean_abs"] == pytest.approx(math.log(2) / 2)
    assert math.isnan(means["learner/importance_capped"])


def test_sapo_has_no_clip_to_count():
    assert math.isnan(tally_of(cap=2.0, surrogate="sapo")["learner/clip_high"])


def test_replaced_groups_count_as_sampled_but_not_as_learned_from():
    groups = assign(random_groups([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]]), AlgorithmConfig())
    batch = make_batch(groups[:2], AlgorithmConfig(), SAMPLING)
    metrics = rollout_metrics(groups, batch, num_rounds=3)
    assert (metrics["rollout/rounds"], metrics["rollout/replaced"]) == (3, 1)
    assert metrics["rollout/zero_variance"] == pytest.approx(2 / 3)
    assert metrics["rollout/num_completions"] == 6
    penalised = [replace(group, penalties=(0.2, 0.4)) for group in groups[:2]]
    assert rollout_metrics(penalised, batch)["reward/kl_penalty"] == pytest.approx(0.3)


def test_what_is_not_measured_is_nan():
    assert math.isnan(tally_of(cap=None)["learner/importance_capped"])
    empty = Tally().means()
    assert empty.pop("learner/tokens") == 0
    assert all(math.isnan(value) for value in empty.values())
