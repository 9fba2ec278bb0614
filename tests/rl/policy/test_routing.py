"""Experts that were chosen elsewhere are replayed exactly, in every family, and what is missing is named."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.commands import untimed
from support.gradients import deviation
from support.models.families import make_family_model
from support.rollouts import SAMPLING, random_groups
from torch import nn
from torch.testing import assert_close

from doubleback.rewards.types import RunError
from doubleback.rl.config import OptimConfig, SamplingConfig
from doubleback.rl.learner.batching import assign, make_batch, microbatches
from doubleback.rl.learner.layouts import Padded
from doubleback.rl.learner.learner import Learner
from doubleback.rl.learner.packing import Packed
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy.base import load_base
from doubleback.rl.policy.families import FAMILIES
from doubleback.rl.policy.routing import Routers, differing, stacked
from doubleback.rl.types import ModelSource, Routes

IDS = torch.randint(3, 118, (3, 17), generator=torch.Generator().manual_seed(5))


@pytest.fixture
def load(tmp_path):
    def build(name, **changes):
        make_family_model(name, tmp_path, **changes)
        return load_base(ModelSource(str(tmp_path), "float32", 128))

    return build


@torch.no_grad()
def logits(model):
    return model(input_ids=IDS).logits


def other_experts(chosen_NLK, num_experts=8):
    """The next expert of each, so that none is the one that was chosen."""
    return ((chosen_NLK + 1) % num_experts).view(*IDS.shape, *chosen_NLK.shape[1:]).to(torch.int16)


@pytest.mark.parametrize("name", FAMILIES)
def test_replaying_the_own_choice_changes_no_bit(load, name):
    model = load(name)
    plain = logits(model)
    routers = Routers(model)
    assert torch.equal(logits(model), plain)
    own = routers.chosen().view(*IDS.shape, routers.num_layers, 2)
    assert len(own.unique()) > 4
    with routers.replaying(own.to(torch.int16)):
        assert torch.equal(logits(model), plain)


@pytest.mark.parametrize("name", FAMILIES)
def test_replayed_experts_are_the_ones_that_compute(load, name):
    """Seen where they are used: at the experts' own door."""
    model = load(name)
    routers, seen = Routers(model), []
    for path, module in model.named_modules():
        if path.endswith(".experts"):
            module.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[1:]))
    plain = logits(model)
    told = other_experts(routers.chosen())
    seen.clear()
    with routers.replaying(told):
        replayed = logits(model)
    assert (replayed - plain).abs().mean() > 1e-3
    for layer, (index, weights) in enumerate(seen):
        assert torch.equal(index, told.flatten(0, 1)[:, layer].long())
        assert weights.shape == index.shape
    assert torch.equal(logits(model), plain)  # the block's end is the replay's end


def test_weights_of_replayed_experts_are_the_trainers_own_by_hand(load):
    """qwen3_moe: softmax over all experts, the chosen ones scaled to sum 1 where the configuration says so."""
    model = load("qwen3_moe", norm_topk_prob=True)
    routers, found = Routers(model), {}
    router = model.model.layers[0].mlp.gate
    router.register_forward_hook(lambda module, arguments, output: found.update(input=arguments[0], output=output))
    logits(model)
    told = other_experts(routers.chosen())
    with routers.replaying(told):
        logits(model)
    scores = (found["input"].view(-1, 64) @ router.weight.T).softmax(-1)
    chosen = scores.gather(1, told.flatten(0, 1)[:, 0].long())
    assert_close(found["output"][1], chosen / chosen.sum(1, keepdim=True), atol=1e-6, rtol=0)


class Gate(nn.Module):
    """A router that takes 2 of 4 experts and weighs them by a softmax."""

    def forward(self, scores_NE):
        chosen_NK, experts_NK = torch.topk(scores_NE, 2)
        return chosen_NK.softmax(-1), experts_NK


def test_the_worked_example_of_a_replayed_choice():
    model, gate = nn.Module(), Gate()
    model.config = SimpleNamespace(model_type="novel_moe", num_experts=4)  # its router: mlp.gate
    model.layer = nn.ModuleDict({"mlp": nn.ModuleDict({"gate": gate})})
    routers = Routers(model)
    scores_NE = torch.tensor([[2.0, 1.9, 2.1, 0.0], [0.5, 0.1, 0.2, 0.4]], requires_grad=True)
    with routers.replaying(torch.tensor([[[[2, 1]], [[-1, -1]]]])):
        weights_NK, experts_NK = gate(scores_NE)
    assert experts_NK.tolist() == [[2, 1], [0, 3]]
    assert weights_NK[0].tolist() == pytest.approx([0.549834, 0.450166], abs=1e-6)  # 1 / (1 + exp(-0.2))
    assert routers.chosen().tolist() == [[[2, 0]], [[0, 3]]]
    weights_NK[0, 0].backward()
    assert scores_NE.grad[0].nonzero().flatten().tolist() == [1, 2]
    assert gate(scores_NE)[1].tolist() == [[2, 0], [0, 3]]


def test_minus_one_leaves_a_token_to_its_own_choice(load):
    model = load("olmoe")
    routers = Routers(model)
    plain = logits(model)
    told = other_experts(routers.chosen())
    told[:, 5:] = -1
    with routers.replaying(told):
        replayed = logits(model)
    nothing = torch.full_like(told, -1)
    with routers.replaying(nothing):
        assert torch.equal(logits(model), plain)
    assert not torch.equal(replayed, plain)
    assert torch.equal(routers.chosen()[:1], routers.chosen()[:1])


def routed_batch(make_policy, shift):
    """A batch whose completions carry the policy's own routes, or those of other experts."""
    model = make_policy()
    routers = Routers(model)
    groups = assign(random_groups([[1.0, 0.0, 0.5], [0.2, 0.9, 0.1]]), AlgorithmConfig())
    routed = []
    for group in groups:
        routes = []
        for completion in group.completions:
            ids = torch.tensor([[*group.prompt_ids, *completion.token_ids[:-1]]])
            with torch.no_grad():
                model(input_ids=ids)
            routes.append(Routes.pack(((routers.chosen() + shift) % 4).numpy(), 4))
        routed.append(replace(group, routes=tuple(routes)))
    return make_batch(routed, AlgorithmConfig(), SamplingConfig(max_tokens=12))


@pytest.mark.parametrize(("shift", "share"), [(0, 0.0), (1, 1.0)])
def test_the_learner_measures_and_replays(make_policy, shift, share):
    batch = routed_batch(make_policy, shift)
    metrics, moved = {}, {}
    for replay in (False, True):
        algorithm = AlgorithmConfig(routing_replay=replay)
        learner = Learner(make_policy(), algorithm, OptimConfig(microbatch_tokens=60), SAMPLING)
        metrics[replay] = untimed(learner.update(batch))
        moved[replay] = learner.adapter().hash
    # Four experts, two chosen: the pair {0, 2} shifted by one is {1, 3}; {0, 1} becomes {1, 2}: all pairs differ.
    assert metrics[False]["gap/experts_differ"] == share
    if shift == 0:
        assert moved[True] == moved[False]
        assert metrics[True] == metrics[False]
    else:
        assert moved[True] != moved[False]


def test_gradients_go_through_the_replayed_experts(make_policy):
    """Replaying in one pass equals a model whose router has no choice: its scores say the same."""
    batch = routed_batch(make_policy, 1)
    (micro,) = microbatches(batch.samples, 10_000, torch.device("cpu"), Padded())
    gradients = []
    for way in ("replay", "forced"):
        model = make_policy()
        routers = Routers(model)
        context = routers.replaying(micro.routes_BTLK if way == "replay" else None)
        if way == "forced":
            force_choice(model, micro.routes_BTLK)
        with context:
            out = model(input_ids=micro.input_ids_BT, attention_mask=micro.placement.attention_mask_BT).logits
        (out.log_softmax(-1)[micro.loss_mask_BT]).sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.requires_grad})
    assert deviation(gradients[0], gradients[1]) < 1e-5


def force_choice(model, routes_BTLK):
    """The router's forward written out anew for qwen3_moe, with the choice given."""
    for layer, block in enumerate(model.get_base_model().model.layers):
        told = routes_BTLK.flatten(0, 1)[:, layer].long()

        def forward(hidden, gate=block.mlp.gate, told=told):
            scores = (hidden.reshape(-1, hidden.shape[-1]) @ gate.weight.T).softmax(-1)
            own = scores.topk(2)[1]
            index = torch.where(told >= 0, told, own)
            weights = scores.gather(1, index)
            return scores, weights / weights.sum(-1, keepdim=True), index

        block.mlp.gate.forward = forward


def test_prompts_are_shared_where_their_experts_agree(make_policy):
    """A prompt that the engine sent to other experts for another completion is not the same prompt."""
    samples = routed_batch(make_policy, 0).samples[:2]
    prompt_ids = samples[0].prompt_ids
    assert samples[1].prompt_ids == prompt_ids
    moved = samples[1].routes.unpack().copy()
    moved[0, 0] = (moved[0, 0] + 1) % 4
    other = replace(samples[1], routes=Routes.pack(moved, 4))
    tokens = [len(it.completion_ids) - 1 + len(prompt_ids) for it in samples]
    for pair, expected in ((samples, sum(tokens) - len(prompt_ids)), ((samples[0], other), sum(tokens))):
        (micro,) = microbatches(pair, 1000, torch.device("cpu"), Packed(is_shared=True))
        assert len(micro.placement.source_N) == expected


def test_missing_positions_are_named(make_policy):
    batch = routed_batch(make_policy, 0)
    short = replace(batch.samples[0], routes=Routes.pack(batch.samples[0].routes.unpack()[:-1], 4))
    length = len(short.prompt_ids) + len(short.completion_ids) - 1
    with pytest.raises(RunError, match=rf"the experts of {length - 1} of {length} positions of completion 0"):
        list(microbatches([short], 1000, torch.device("cpu"), Padded()))
    none = replace(batch.samples[0], routes=None)
    with pytest.raises(RunError, match="the experts of 0 of"):
        list(microbatches([none, batch.samples[1]], 1000, torch.device("cpu"), Padded()))


def test_layers_that_do_not_match_are_named(load):
    routers = Routers(load("mixtral"))
    with pytest.raises(RunError, match=r"reported 3 layers of routers, the trainer has 2 under the name 'mlp\.gate'"):
        routers.replaying(torch.zeros(1, 4, 3, 2)).__enter__()


@pytest.mark.parametrize(("highest", "width"), [(255, 1), (256, 2)])
def test_routes_take_as_few_bytes_as_they_can(highest, width):
    experts = np.random.default_rng(0).integers(0, highest, (5, 3, 2))
    experts[0, 0, 0] = highest
    routes = Routes.pack(experts, 300)
    assert len(routes.content) == 30 * width
    assert np.array_equal(routes.unpack(), experts)


def test_the_order_of_experts_does_not_count():
    own = torch.tensor([[[0, 3], [1, 2]], [[0, 3], [1, 2]]])
    other = torch.tensor([[[3, 0], [2, 1]], [[3, 0], [2, 4]]], dtype=torch.int16)
    assert differing(own, other).tolist() == [False, True]


def test_stacked_by_hand():
    first, second = Routes.pack(np.array([[[1, 2]], [[3, 0]]]), 4), Routes.pack(np.array([[[2, 1]]]), 4)
    found = stacked([first, second], [2, 1], 3)
    assert found.tolist() == [[[[1, 2]], [[3, 0]], [[-1, -1]]], [[[2, 1]], [[-1, -1]], [[-1, -1]]]]
    assert stacked([None, None], [2, 1], 3) is None
