"""Expert adapters computed apart equal PEFT's own computation, forward and backward, in every family."""

from types import SimpleNamespace

import pytest
import torch
from support.gradients import deviation
from support.models.families import make_family_model
from torch.testing import assert_close
from transformers import Qwen3MoeConfig

from doubleback.rewards.types import ConfigError
from doubleback.rl.config import LoraSettings
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import load_base
from doubleback.rl.policy.experts import LowRankExperts, sort_by_expert
from doubleback.rl.policy.families import FAMILIES, expert_rank
from doubleback.rl.types import ModelSource

IDS = torch.randint(3, 118, (3, 17), generator=torch.Generator().manual_seed(5))


def attached(folder, compute, targets="all", dtype=torch.float32, **settings):
    base = load_base(ModelSource(str(folder), "float32", 128))
    options = LoraSettings(rank=4, alpha=8.0, targets=targets, expert_compute=compute, **settings)
    model = lora.attach(base, options, seed=0)
    if dtype == torch.float64:
        base.set_experts_implementation("eager")  # for PEFT: the grouped kernel has no float64
        model.double()
    generator = torch.Generator().manual_seed(1)
    noise = {k: 0.1 * torch.randn(v.shape, generator=generator) for k, v in lora.export(model).tensors.items()}
    lora.load(model, noise)
    return model


def forward_and_backward(model):
    logits = model(input_ids=IDS).logits
    logits.log_softmax(-1)[..., 5].sum().backward()
    return logits.detach(), {name: p.grad for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("name", FAMILIES)
def test_outputs_and_gradients_equal_pefts(tmp_path, name):
    make_family_model(name, tmp_path)
    expected, expected_gradients = forward_and_backward(attached(tmp_path, "peft", expert_rank=2))
    found, gradients = forward_and_backward(attached(tmp_path, "grouped", expert_rank=2))
    assert deviation({"logits": found}, {"logits": expected}) < 1e-5
    assert deviation(gradients, expected_gradients) < 1e-5
    assert all(gradient.abs().max() > 0 for gradient in gradients.values())


def test_pairs_are_sorted_by_expert():
    """The example of the docstring: three tokens, two of four experts each."""
    expert_S, order_S, ends_E = sort_by_expert(torch.tensor([[2, 0], [0, 1], [2, 1]]), 4)
    assert expert_S.tolist() == [0, 0, 1, 1, 2, 2]
    assert order_S.tolist() == [1, 2, 3, 5, 0, 4]
    assert (order_S // 2).tolist() == [0, 1, 1, 2, 0, 2]
    assert ends_E.tolist() == [2, 4, 6, 6]


class OneNumber:
    """An expert whose matrices are numbers, W1 = 3 and W2 = 1, with a gate that changes nothing."""

    num_experts, is_transposed, has_bias = 1, False, False
    gate_up_proj, down_proj = torch.tensor([[[3.0]]]), torch.tensor([[[1.0]]])

    def _apply_gate(self, rows):
        return 1 * rows


def test_the_worked_example_of_the_backward_pass():
    numbers = {"x": 2.0, "w": 0.5, "A1": 1.0, "B1": 0.5, "A2": 2.0, "B2": 0.1}
    leaves = {name: torch.tensor(value, requires_grad=True) for name, value in numbers.items()}
    factors = [leaves[name].view(1, 1, 1) for name in ("A1", "B1", "A2", "B2")]
    hidden, weights = leaves["x"].view(1, 1), leaves["w"].view(1, 1)
    y = LowRankExperts.apply(OneNumber(), (1.0, 1.0), torch.tensor([[0]]), hidden, weights, *factors)
    assert_close(y, torch.tensor([[4.2]]), atol=1e-6, rtol=0)
    y.sum().backward()
    gradients = {name: leaf.grad.item() for name, leaf in leaves.items()}
    expected = {"x": 2.1, "w": 8.4, "A1": 0.6, "B1": 1.2, "A2": 0.35, "B2": 7.0}
    assert gradients == pytest.approx(expected, abs=1e-6)


def test_gradients_equal_pefts_in_float64(tmp_path):
    """gpt-oss has all of it: biases, matrices the other way round, a gate of its own. Its norms stay in float32."""
    make_family_model("gpt_oss", tmp_path)
    runs = [forward_and_backward(attached(tmp_path, compute, dtype=torch.float64)) for compute in ("peft", "grouped")]
    assert deviation(runs[1][1], runs[0][1]) < 1e-6


def test_an_expert_that_no_token_chose_gets_no_gradient(tmp_path):
    make_family_model("qwen3_moe", tmp_path)
    model = attached(tmp_path, "grouped", targets="experts")
    model(input_ids=IDS[:1, :2]).logits.square().sum().backward()  # 4 of 8 experts at most
    layer = model.get_base_model().model.layers[0].mlp.experts
    gradient = layer.lora_A["default"].weight.grad.view(8, -1)
    assert 4 <= int((gradient == 0).all(1).sum()) < 8


def test_a_silent_adapter_is_the_base(tmp_path):
    make_family_model("qwen3_moe", tmp_path)
    base = load_base(ModelSource(str(tmp_path), "float32", 128))
    model = attached(tmp_path, "grouped")
    with torch.no_grad():
        expected = base(input_ids=IDS).logits
        with model.disable_adapter():
            assert torch.equal(model(input_ids=IDS).logits, expected)
        with lora.only_parts(model, frozenset()):
            assert_close(model(input_ids=IDS).logits, expected, atol=1e-5, rtol=0)


def test_nothing_of_the_size_of_the_experts_is_kept_or_made(tmp_path):
    """What autograd keeps of a layer, and the gradients it makes, are far smaller than the experts themselves."""
    make_family_model("qwen3_moe", tmp_path, num_experts=256, moe_intermediate_size=64)
    model = attached(tmp_path, "grouped", targets="experts")
    experts = model.get_base_model().model.layers[0].mlp.experts.base_layer.base_layer
    size = experts.gate_up_proj.numel()
    shapes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: shapes.append(tensor.numel()) or tensor, lambda t: t):
        model(input_ids=IDS).logits.square().sum().backward()
    assert max(shapes) < size / 10


def test_the_router_is_frozen_unless_it_is_asked_for(tmp_path):
    make_family_model("granitemoe", tmp_path)
    for train_router in (False, True):
        model = attached(tmp_path, "grouped", train_router=train_router)
        parts = [trained.part for trained in lora.trained_parts(model)]
        assert ("router" in parts) == train_router
        _, gradients = forward_and_backward(model)
        assert any("router" in name for name in gradients) == train_router
        assert all(gradient.abs().max() > 0 for gradient in gradients.values())


@pytest.mark.parametrize(("rank", "active", "expected"), [(32, 8, 4), (32, 6, 5), (4, 8, 1)])
def test_the_rank_of_experts_is_shared_among_those_of_a_token(rank, active, expected):
    config = Qwen3MoeConfig(num_experts_per_tok=active)
    assert expert_rank(config, LoraSettings(rank=rank)) == expected
    assert expert_rank(config, LoraSettings(rank=rank, expert_rank=7)) == 7


def test_a_moe_that_does_not_say_how_many_experts_are_active_needs_a_rank():
    config = SimpleNamespace(model_type="afmoe")
    assert expert_rank(config, LoraSettings(expert_rank=2)) == 2
    with pytest.raises(ConfigError, match=r"lora.expert_rank=null: .* \(num_experts_per_tok\); set lora.expert_rank"):
        expert_rank(config, LoraSettings())


def test_the_shared_rank_is_what_trains(tmp_path):
    """qwen2_moe in tiny sends a token to 2 of 8 experts: rank 4 elsewhere is 2 in each of them."""
    make_family_model("qwen2_moe", tmp_path)
    derived, given = (lora.trained_parts(attached(tmp_path, "grouped", **keys)) for keys in ({}, {"expert_rank": 2}))
    assert derived == given


def test_ranks_are_per_part_and_per_expert(tmp_path):
    make_family_model("qwen2_moe", tmp_path)
    found = {part.part: part for part in lora.trained_parts(attached(tmp_path, "grouped", expert_rank=2))}
    assert {name: part.rank for name, part in found.items()} == {"attention": 4, "experts": 2, "mlp": 4}
    # two layers, 8 experts, gate_up (64 -> 64) and down (32 -> 64), rank 2
    assert found["experts"].num_matrices == 2 * 2 * 8
    assert found["experts"].num_parameters == 2 * 8 * 2 * ((64 + 64) + (32 + 64))
    # q 64 -> 64, k and v 64 -> 32, o 64 -> 64, rank 4
    assert found["attention"].num_parameters == 2 * 4 * (128 + 96 + 96 + 128)
    scalings = {target.part: target.scaling for target in lora.targets(attached(tmp_path, "grouped", expert_rank=2))}
    assert scalings == {"attention": 2.0, "experts": 4.0, "mlp": 2.0}
