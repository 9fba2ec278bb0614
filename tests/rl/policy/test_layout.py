"""PEFT's layout of the experts' factors: the worked example, PEFT's own delta, and that one function decodes it."""

import torch
from peft.tuners.lora.layer import ParamWrapper
from support.paths import ROOT
from torch.testing import assert_close

from doubleback.rl.policy.layout import per_expert


def test_expert_1_of_the_worked_example():
    """E = 3, R = 2, I = 2, O = 2: each number says row and column."""
    a = torch.tensor([[0.0, 1], [10, 11], [20, 21], [30, 31], [40, 41], [50, 51]])
    b = torch.tensor([[0.0, 1, 2, 3, 4, 5], [10, 11, 12, 13, 14, 15]])
    a_ERI, b_EOR = per_expert(a, b, 3)
    assert a_ERI[1].tolist() == [[20, 21], [30, 31]]
    assert b_EOR[1].tolist() == [[1, 4], [11, 14]]
    assert a_ERI.data_ptr() == a.data_ptr()
    assert b_EOR.data_ptr() == b.data_ptr()


def test_it_is_the_layout_that_peft_computes_with(make_policy):
    """B A of each expert against the delta that PEFT itself would add to the parameter."""
    model = make_policy(targets="experts")
    layers = [module for module in model.modules() if isinstance(module, ParamWrapper)]
    assert len(layers) == 4
    for layer in layers:
        a_ERI, b_EOR = per_expert(layer.lora_A["default"].weight, layer.lora_B["default"].weight, layer.num_experts)
        delta = layer.scaling["default"] * b_EOR @ a_ERI
        expected = layer.get_delta_weight("default")
        assert_close(delta if delta.shape == expected.shape else delta.mT, expected, atol=1e-6, rtol=0)


def test_no_other_module_takes_the_layout_apart():
    places = [path.name for path in (ROOT / "rl").rglob("*.py") if "permute(2, 0, 1)" in path.read_text()]
    assert places == ["layout.py"]
