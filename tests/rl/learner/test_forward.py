"""However a microbatch is computed, loss and gradients are the same."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from support.gradients import BARE_GRADIENT, deviation, gradients
from support.models.families import make_family_model
from support.rollouts import SAMPLING, random_groups

from doubleback.rewards.types import ConfigError
from doubleback.rl.config import LoraSettings, OptimConfig, SamplingConfig
from doubleback.rl.learner.attention import Block
from doubleback.rl.learner.batching import assign, make_batch, microbatches
from doubleback.rl.learner.layouts import Padded
from doubleback.rl.learner.learner import Learner
from doubleback.rl.learner.packing import Packed, lay_out
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import load_base
from doubleback.rl.policy.families import FAMILIES
from doubleback.rl.types import ModelSource, Routes, Sample

PADDED = {"pack": False, "share_prompts": False}
WAYS = {
    "packed": {"share_prompts": False},
    "shared": {},
    "shared, cut": {"microbatch_tokens": 50},
    "padded, cut": {**PADDED, "microbatch_tokens": 50},
    "checkpointed": {"gradient_checkpointing": True},
    "padded, checkpointed": {**PADDED, "gradient_checkpointing": True},
}
REWARDS = [[1.1, 0.0, 0.1, 1.0], [0.5, 0.5, 0.5, 0.5], [0.1, 1.1, 0.0, 0.0], [0.3, 0.1, 0.2, 0.7]]
KL = AlgorithmConfig(kl_coef=0.1)
"""Keeps every group in the batch and runs the reference too."""


@pytest.fixture
def batch():
    groups = assign(random_groups(REWARDS, seed=3), KL)
    return make_batch(groups, KL, SamplingConfig(max_tokens=12))


def update(model, batch, **options):
    learner = Learner(model, KL, OptimConfig(**BARE_GRADIENT, **options), SAMPLING)
    metrics = learner.update(batch)
    return metrics["learner/loss"], gradients(learner)


@pytest.mark.parametrize("way", WAYS)
def test_loss_and_gradients_in_float64(make_policy, batch, way):
    """Norms and routers compute in float32 even so, of a loss whose terms of size 1 cancel to some thousandths: what is
    left of that is under 1e-8, or 1e-7 of the loss.
    """
    loss, expected = update(make_policy(dtype="float64"), batch, **PADDED)
    found_loss, found = update(make_policy(dtype="float64"), batch, **WAYS[way])
    assert found_loss == pytest.approx(loss, rel=1e-7, abs=1e-8)
    assert deviation(found, expected) < 1e-6


@pytest.mark.parametrize("way", WAYS)
def test_loss_and_gradients_in_float32(make_policy, batch, way):
    loss, expected = update(make_policy(), batch, **PADDED)
    found_loss, found = update(make_policy(), batch, **WAYS[way])
    assert found_loss == pytest.approx(loss, rel=1e-6)
    total = sum(tensor.square().sum() for tensor in expected.values()).sqrt()
    gap = sum((found[name] - tensor).square().sum() for name, tensor in expected.items()).sqrt()
    assert gap / total < 2e-6


@pytest.mark.parametrize("way", ["shared", "shared, cut"])
def test_worked_examples_before_every_question_are_computed_once(make_policy, way):
    """Prompts that begin with the same 30 tokens: the same loss and gradients, from a row that has those once."""
    head = tuple(range(3, 33))
    groups = [replace(group, prompt_ids=head + group.prompt_ids) for group in random_groups(REWARDS, seed=4)]
    batch = make_batch(assign(groups, KL), KL, SamplingConfig(max_tokens=12))
    loss, expected = update(make_policy(dtype="float64"), batch, **PADDED)
    found_loss, found = update(make_policy(dtype="float64"), batch, **WAYS[way])
    assert found_loss == pytest.approx(loss, rel=1e-7, abs=1e-8)
    assert deviation(found, expected) < 1e-6
    (whole,) = microbatches(batch.samples, 10_000, torch.device("cpu"), Packed(is_shared=True))
    row = whole.placement.inputs(whole.input_ids_BT)["input_ids"][0].tolist()
    assert sum(row[start : start + 30] == list(head) for start in range(len(row))) == 1


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_packs(tmp_path, batch, name):
    make_family_model(name, tmp_path)

    def model():
        base = load_base(ModelSource(str(tmp_path), "float32", 128))
        return lora.attach(base, LoraSettings(rank=4, alpha=8.0), seed=0)

    loss, expected = update(model(), batch, **PADDED)
    found_loss, found = update(model(), batch)
    assert found_loss == pytest.approx(loss, rel=1e-5, abs=1e-7)
    b_only = [key for key in expected if ".lora_B." in key]  # A's gradient is 0 while B is
    assert deviation({k: found[k] for k in b_only}, {k: expected[k] for k in b_only}) < 1e-4


@pytest.mark.slow
def test_logits_in_chunks(make_policy, batch):
    """32,768 words: a budget of 1 MiB, 262,144 numbers in float32, is 8 rows a chunk."""

    def wide():
        model = make_policy(dtype="float64")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model.get_base_model().resize_token_embeddings(32_768, mean_resizing=False).requires_grad_(False)
        return model

    loss, expected = update(wide(), batch)
    model, sizes = wide(), []
    head = model.get_base_model().get_output_embeddings()
    head.register_forward_hook(lambda module, arguments, output: sizes.append(len(arguments[0])))
    learner = Learner(model, KL, OptimConfig(**BARE_GRADIENT, logits_mib=1), SAMPLING)
    assert learner.update(batch)["learner/loss"] == pytest.approx(loss, rel=1e-12)
    assert deviation(gradients(learner), expected) < 1e-7
    assert max(sizes) == 8
    num_tokens = sum(len(sample.completion_ids) for sample in batch.samples)
    assert sum(sizes) >= 3 * num_tokens  # reference, forward, and once more in the backward pass


def test_placement_by_hand():
    """The example at the head of rl/learner/packing.py: two completions of the prompt a b, one of a c."""
    samples = [
        Sample(tuple(prompt), tuple(ids), (), 0.0, 0.0) for prompt, ids in (("ab", "xyz"), ("ab", "uv"), ("ac", "qr"))
    ]
    placement = Packed(is_shared=True).place(samples, torch.device("cpu"))
    assert placement.source_N.tolist() == [0, 1, 2, 3, 6, 9, 10]
    assert placement.place_BT.tolist() == [[0, 1, 2, 3], [0, 1, 4, 0], [0, 5, 6, 0]]
    whole, rest = placement.blocks
    assert (whole.is_whole, rest.is_whole) == (True, False)
    assert whole.queries_SQ.tolist() == whole.keys_SK.tolist() == [[0, 1, 2, 3]]
    assert (rest.queries_SQ.tolist(), rest.keys_SK.tolist()) == ([[5, 6], [4, 0]], [[0, 5, 6], [0, 1, 4]])
    assert rest.first_S.tolist() == [1, 2]
    assert placement.taken_N.tolist() == [0, 1, 2, 3, 6, 4, 5]
    inputs = placement.inputs(torch.tensor([[10, 11, 12, 13], [10, 11, 14, 0], [10, 15, 16, 0]]))
    assert inputs["input_ids"].tolist() == [[10, 11, 12, 13, 14, 15, 16]]
    assert inputs["position_ids"].tolist() == [[0, 1, 2, 3, 2, 1, 2]]


@pytest.mark.parametrize(
    ("window", "seen"),
    [
        (None, [[[1, 1, 0], [1, 1, 1]], [[1, 1, 1], [0, 1, 1]]]),  # the last query is padding, which nothing reads
        (2, [[[1, 1, 0], [0, 1, 1]], [[0, 1, 1], [0, 0, 1]]]),
    ],
)
def test_who_sees_whom_by_hand(window, seen):
    block = Block(torch.tensor([[5, 6], [4, 0]]), torch.tensor([[0, 5, 6], [0, 1, 4]]), torch.tensor([1, 2]), False)
    mask_S1QK = block.mask(window, torch.zeros(1, dtype=torch.float64))
    assert mask_S1QK.dtype == torch.float64
    assert (mask_S1QK == 0).long().tolist() == [[rows] for rows in seen]
    assert set(mask_S1QK.unique().tolist()) <= {0.0, torch.finfo(torch.float64).min}


def test_what_went_to_other_experts_is_computed_apart():
    """One sequence four times: the second time its second token went to another expert, the third time its last."""
    routes = [Routes(bytes(experts), (3, 1, 1), 8) for experts in ([0, 0, 5], [0, 1, 5], [0, 0, 6], [0, 0, 5])]
    samples = [Sample((7, 8), (9, 2), (), 0.0, 0.0, route) for route in routes]
    placement = Packed(is_shared=True).place(samples, torch.device("cpu"))
    assert placement.place_BT.tolist() == [[0, 1, 2], [0, 3, 4], [0, 1, 5], [0, 1, 2]]


def test_sizes_that_differ_by_more_than_a_quarter_are_blocks_of_their_own():
    """Of 40, 31, 30, 29 and 4 tokens: 30 is three quarters of 40. Of 12 and 4 the difference is few."""

    def widths(lengths):
        sequences = [[(row, column) for column in range(length)] for row, length in enumerate(lengths)]
        return [list(block.queries_SQ.shape) for block in lay_out(sequences, torch.device("cpu")).blocks]

    assert widths([4, 31, 40, 29, 30]) == [[3, 40], [1, 29], [1, 4]]
    assert widths([4, 12]) == [[2, 12]]


@pytest.mark.parametrize(
    ("layout", "max_tokens", "expected"),
    [
        (Padded(), 14, [[2], [0, 1], [3]]),  # 9; 2 * 6; 2
        (Packed(is_shared=False), 14, [[2], [0, 1, 3]]),  # 9; 6 + 6 + 2
        (Packed(is_shared=True), 11, [[2, 0], [1, 3]]),  # 9 and the 2 that follow the prompt; 6 and none
        (Packed(is_shared=True), 10, [[2], [0], [1, 3]]),  # the prompt is computed anew: 6, and 5 more are too many
        (Packed(is_shared=True), 16, [[2, 0, 1, 3]]),  # 9, 2, and 5 that follow the first token of both prompts
        (Packed(is_shared=True), 15, [[2, 0], [1, 3]]),
    ],
)
def test_cuts_by_hand(layout, max_tokens, expected):
    """Prompt a of 4 tokens with completions of 3 and 6, prompt b of 2 tokens with completions of 5 and 1."""
    a, b = (1, 20, 21, 22), (1, 30)
    sizes = [(a, 3), (b, 5), (a, 6), (b, 1)]
    samples = [Sample(prompt, (5 + row,) * size, (), 1.0, 0.1) for row, (prompt, size) in enumerate(sizes)]
    assert [sample.num_inputs for sample in samples] == [6, 6, 9, 2]
    assert list(layout.cut(samples, max_tokens)) == expected


def test_microbatches_of_a_row_keep_their_budget_and_every_sample(batch):
    budget = 40
    made = list(microbatches(batch.samples, budget, torch.device("cpu"), Packed(is_shared=True)))
    assert sorted(row for micro in made for row in micro.rows) == list(range(len(batch.samples)))
    assert all(len(micro.placement.source_N) <= budget for micro in made)
    alone = list(microbatches(batch.samples, 10_000, torch.device("cpu"), Packed(is_shared=True)))
    computed = [(sample.prompt_ids + sample.completion_ids)[: sample.num_inputs] for sample in batch.samples]
    tokens = len({ids[:end] for ids in computed for end in range(1, len(ids) + 1)})
    assert [len(micro.placement.source_N) for micro in alone] == [tokens]


def test_a_model_with_state_is_not_packed():
    class Model:
        config = SimpleNamespace(model_type="granitemoehybrid", layer_types=["mamba", "attention"])

    with pytest.raises(ConfigError, match=r"optim\.pack=true: granitemoehybrid has mamba layers"):
        Packed(is_shared=True).require(Model())


def test_a_learner_refuses_layers_that_would_mix_what_shares_a_row(make_policy):
    model = make_policy()
    model.get_base_model().config.layer_types = ["linear_attention", "full_attention"]
    with pytest.raises(ConfigError, match=r"optim\.pack=true: qwen3_moe has linear_attention layers"):
        Learner(model, KL, OptimConfig(), SAMPLING)
    assert Learner(model, KL, OptimConfig(pack=False, share_prompts=False), SAMPLING).step == 0
