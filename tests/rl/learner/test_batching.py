"""From groups to rectangles: which completions are learned from, what their tokens weigh, and where they land."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.oracles import reference
from support.rollouts import make_completion, make_group, random_groups
from torch.testing import assert_close

from doubleback.rl.config import SamplingConfig
from doubleback.rl.learner.batching import assign, make_batch, microbatches, with_old_logprobs
from doubleback.rl.learner.layouts import Padded
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.types import Sample

CPU = torch.device("cpu")
SAMPLING = SamplingConfig(max_tokens=12, temperature=0.7)
NORMALISERS = pytest.mark.parametrize("normaliser", ["constant", "token", "sequence"])
REWARDS = [[1.0, 0.0, 0.0, 1.0], [0.5, 0.5, 0.5, 0.5], [0.1, 1.1, None, 0.0], [0.0, 0.0, 0.0, 0.0]]


def batch_of(rewards, algorithm, seed=0):
    groups = assign(random_groups(rewards, seed=seed), algorithm)
    return groups, make_batch(groups, algorithm, SAMPLING)


def weights_by_completion(batch):
    return {sample.completion_ids: sample.token_weight for sample in batch.samples}


@pytest.mark.parametrize(
    "name", ["centre", "standardise", "leave_one_out", "maxrl", "batch_scaled", "batch_scaled_by_rewards"]
)
def test_assign_uses_the_advantage_that_the_recipe_names(name):
    groups = assign(random_groups([[1.0, 0.0, None, 0.0], [0.5, 1.0]]), AlgorithmConfig(advantage=name))
    first, second = reference.advantages([[1.0, 0.0, 0.0], [0.5, 1.0]], name)
    assert groups[0].advantages == pytest.approx((first[0], first[1], None, first[2]))
    assert groups[1].advantages == pytest.approx(second)


def test_penalties_are_taken_off_the_rewards_but_change_no_score():
    (group,) = random_groups([[1.0, 0.0, None, 0.0]])
    (assigned,) = assign([replace(group, penalties=(0.3, 0.0, 9.0, 0.6))], AlgorithmConfig())
    # rewards 0.7, 0, -0.6: mean 1/30
    assert assigned.advantages == pytest.approx((0.7 - 1 / 30, -1 / 30, None, -0.6 - 1 / 30))
    assert assigned.scores == group.scores


def test_what_the_trainer_said_comes_to_the_completions_that_it_was_said_of():
    """The second group teaches nothing, and of the third one completion was not judged."""
    groups, batch = batch_of([[1.0, 0.0], [0.5, 0.5], [0.0, None, 1.0]], AlgorithmConfig())
    assert batch.places == (0, 1, 4, 6)
    told = with_old_logprobs(batch, [(-float(place),) for place in batch.places])
    assert [group.old_logprobs for group in told] == [((-0.0,), (-1.0,)), (None, None), ((-4.0,), None, (-6.0,))]
    assert [replace(group, old_logprobs=()) for group in told] == list(batch.groups)
    assert with_old_logprobs(batch, []) == list(batch.groups)
    for sample, place in zip(batch.samples, batch.places, strict=True):
        rows = [row for group in groups for row in group.rows()]
        assert rows[place].completion.token_ids == sample.completion_ids


@NORMALISERS
def test_weights_by_hand(normaliser):
    """Judged completions of 2, 3, 5 tokens and an unjudged one of 7; a group without spread of 4 and 6: B = 5."""
    algorithm = AlgorithmConfig(normaliser=normaliser)
    lengths = [2, 3, 5, 7]
    mixed = make_group([1, 20], [make_completion([10 + n] * n) for n in lengths], [1.0, 0.0, 0.0, None])
    flat = make_group([1, 21], [make_completion([30 + n] * n) for n in (4, 6)], [0.0, 0.0])
    batch = make_batch(assign([mixed, flat], algorithm), algorithm, SAMPLING)
    expected = {"constant": [1 / (5 * 12)] * 3, "token": [1 / 20] * 3, "sequence": [1 / (5 * n) for n in (2, 3, 5)]}
    assert [sample.token_weight for sample in batch.samples] == pytest.approx(expected[normaliser], rel=1e-12)
    assert [sample.advantage for sample in batch.samples] == pytest.approx([2 / 3, -1 / 3, -1 / 3])
    assert (len(batch.groups), batch.num_zero_variance, batch.temperature) == (2, 1, 0.7)


@NORMALISERS
def test_weights_do_not_depend_on_what_is_left_out(normaliser):
    """A KL term keeps zero-variance groups in the forward pass; what both batches hold weighs the same."""
    _, without = batch_of(REWARDS, AlgorithmConfig(normaliser=normaliser))
    _, with_all = batch_of(REWARDS, AlgorithmConfig(normaliser=normaliser, kl_coef=0.1))
    assert (len(without.samples), len(with_all.samples)) == (4 + 3, 15)
    shared = weights_by_completion(with_all)
    assert all(shared[ids] == weight for ids, weight in weights_by_completion(without).items())


@NORMALISERS
def test_weights_agree_with_the_reference_over_the_whole_step(normaliser):
    algorithm = AlgorithmConfig(normaliser=normaliser, kl_coef=0.1)
    groups, batch = batch_of(REWARDS, algorithm)
    judged = [row.completion for group in groups for row in group.rows() if row.score.value is not None]
    lengths = [len(completion.token_ids) for completion in judged]
    expected = reference.token_weights(lengths, normaliser, max_tokens=12)
    assert [sample.token_weight for sample in batch.samples] == pytest.approx(expected, rel=1e-12)


def test_an_unjudged_completion_is_as_if_it_had_never_been_sampled():
    groups, batch = batch_of(REWARDS, AlgorithmConfig(normaliser="token", kl_coef=0.1))
    unjudged = groups[2].completions[2]
    assert unjudged.token_ids not in weights_by_completion(batch)
    rest = replace(
        groups[2],
        completions=groups[2].completions[:2] + groups[2].completions[3:],
        scores=groups[2].scores[:2] + groups[2].scores[3:],
        advantages=(),
    )
    algorithm = AlgorithmConfig(normaliser="token", kl_coef=0.1)
    again = make_batch([groups[0], groups[1], *assign([rest], algorithm), groups[3]], algorithm, SAMPLING)
    assert again.samples == batch.samples


@NORMALISERS
def test_masked_truncated_completions_weigh_nothing_but_count_in_the_mean(normaliser):
    """Cut-off completions leave the token sum; they stay in the number of completions and in their group's mean."""
    algorithm = AlgorithmConfig(normaliser=normaliser, mask_truncated=True)
    completions = [
        make_completion([9] * 12, finish_reason="length"),
        make_completion([8] * 4),
        make_completion([7] * 6),
    ]
    groups = assign([make_group([1, 20], completions, [0.0, 1.0, 0.5])], algorithm)
    batch = make_batch(groups, algorithm, SAMPLING)
    assert [sample.completion_ids for sample in batch.samples] == [(8,) * 4, (7,) * 6]
    assert [sample.advantage for sample in batch.samples] == pytest.approx([0.5, 0.0])
    expected = {"constant": [1 / 36] * 2, "token": [1 / 10] * 2, "sequence": [1 / 12, 1 / 18]}
    assert [sample.token_weight for sample in batch.samples] == pytest.approx(expected[normaliser], rel=1e-12)


def test_truncated_completions_are_learned_from_unless_masked():
    completions = [make_completion([9] * 12, finish_reason="length"), make_completion([8] * 4)]
    groups = assign([make_group([1, 20], completions, [0.0, 1.0])], AlgorithmConfig())
    assert len(make_batch(groups, AlgorithmConfig(), SAMPLING).samples) == 2


KEEPING = {
    "kl": {"kl_coef": 0.1},
    "entropy": {"entropy_coef": 0.01},
    "entropy target": {"entropy_target": 0.5},
    "asked for": {"drop_zero_variance": False},
}


@pytest.mark.parametrize("mask_truncated", [False, True])
@pytest.mark.parametrize("keeping", KEEPING.values(), ids=KEEPING)
def test_groups_without_signal_are_kept_where_another_term_pulls_on_them(mask_truncated, keeping):
    algorithm = AlgorithmConfig(mask_truncated=mask_truncated, **keeping)
    groups, batch = batch_of([[0.5] * 4, [0.0] * 4], algorithm)
    kept = [c for g in groups for c in g.completions if not (mask_truncated and c.is_truncated)]
    assert [sample.completion_ids for sample in batch.samples] == [completion.token_ids for completion in kept]
    assert batch.num_zero_variance == 2


def test_a_kl_in_the_reward_keeps_nothing_by_itself():
    _, batch = batch_of([[0.5] * 4], AlgorithmConfig(kl_coef=0.1, kl_in="reward"))
    assert batch.samples == ()


def test_a_step_without_any_signal_gives_an_empty_batch():
    _, batch = batch_of([[0.5] * 4, [None] * 4, [0.0] * 4], AlgorithmConfig())
    assert batch.samples == ()
    assert (len(batch.groups), batch.num_zero_variance) == (3, 3)


def test_columns_predict_the_next_token_and_the_mask_is_the_completion():
    long = Sample((1, 11, 12), (13, 14, 2), (-0.1, -0.2, -0.3), advantage=1.5, token_weight=0.25)
    short = Sample((1, 21), (22, 2), (-0.4, -0.5), advantage=-0.5, token_weight=0.125)
    (micro,) = microbatches([short, long], max_tokens=100, device=CPU, layout=Padded())
    assert micro.rows == (1, 0)
    assert micro.input_ids_BT.tolist() == [[1, 11, 12, 13, 14], [1, 21, 22, 0, 0]]
    assert micro.target_ids_BT.tolist() == [[11, 12, 13, 14, 2], [21, 22, 2, 0, 0]]
    assert micro.placement.attention_mask_BT.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert micro.loss_mask_BT.tolist() == [[False, False, True, True, True], [False, True, True, False, False]]
    expected = torch.tensor([[0, 0, -0.1, -0.2, -0.3], [0, -0.4, -0.5, 0, 0]])
    assert_close(micro.sampler_logprobs_BT, expected, atol=0, rtol=0)
    assert micro.weights_BT.tolist() == [[0, 0, 0.25, 0.25, 0.25], [0, 0.125, 0.125, 0, 0]]
    assert micro.advantages_B1.tolist() == [[1.5], [-0.5]]


SAMPLES = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 12)), min_size=1, max_size=20)


@given(lengths=SAMPLES, max_tokens=st.integers(1, 120))
def test_any_cut_holds_every_sample_once_within_the_budget(lengths, max_tokens):
    samples = [
        Sample(
            (1,) * prompt, (3 + row,) * size, (-float(row),) * size, advantage=float(row), token_weight=1 / (row + 1)
        )
        for row, (prompt, size) in enumerate(lengths)
    ]
    seen, weight = [], 0.0
    for micro in microbatches(samples, max_tokens, CPU, Padded()):
        seen += micro.rows
        weight += float(micro.weights_BT.double().sum())
        assert micro.input_ids_BT.numel() <= max_tokens or len(micro.rows) == 1
        assert micro.placement.attention_mask_BT.any(0).all()
        for index, row in enumerate(micro.rows):
            mask, sample = micro.loss_mask_BT[index], samples[row]
            assert tuple(micro.target_ids_BT[index][mask].tolist()) == sample.completion_ids
            assert tuple(micro.sampler_logprobs_BT[index][mask].tolist()) == sample.sampler_logprobs
            assert micro.advantages_B1[index].item() == sample.advantage
            assert (
                int(micro.placement.attention_mask_BT[index].sum())
                == len(sample.prompt_ids) + len(sample.completion_ids) - 1
            )
    assert sorted(seen) == list(range(len(samples)))
    expected = math.fsum(sample.token_weight * len(sample.completion_ids) for sample in samples)
    assert weight == pytest.approx(expected, rel=1e-6)


def test_no_samples_give_no_microbatch():
    assert list(microbatches([], 100, CPU, Padded())) == []
