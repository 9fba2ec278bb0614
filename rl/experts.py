"""Experts with a low-rank adapter, computed without ever building W + B A.

PEFT's wrapper of a fused parameter materialises W + scaling * B A for all experts and keeps it for the backward pass,
which then forms the dense gradient of every expert before it is reduced to those of A and B. Here the frozen product
stays as it is, the low rank goes beside it, and autograd sees A and B alone:

    y_e = x_e W_e^T + scaling * (x_e A_e^T) B_e^T        for the tokens x_e that chose expert e

Every family that keeps transformers' convention of fused experts runs through this one function. Shapes: S pairs of a
token and a chosen expert, sorted by expert; E experts, R rank, I inputs, O outputs.
"""

from functools import partial
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora.layer import ParamWrapper
from torch import Tensor, nn
from torch.nn.functional import grouped_mm, linear


def compute_low_rank_apart(model: PeftModel) -> None:
    """Compute the parameters that carry an adapter as in the head of this file.

    PEFT's modules stay where they are and keep the tensors: layout on disk, names and switches are PEFT's.
    """
    wrappers = [(name, module) for name, module in model.named_modules() if isinstance(module, ParamWrapper)]
    for wrapper in [module for name, module in wrappers if not name.endswith(".base_layer")]:
        if isinstance(wrapper.base_layer, nn.Linear):
            wrapper.forward = partial(linear_forward, wrapper.base_layer, wrapper)
        if wrapper.num_experts == 1:
            continue  # a router: small, and its parameter is read by code of each family's own
        layers: dict[str, ParamWrapper] = {}
        experts: Any = wrapper
        while isinstance(experts, ParamWrapper):  # one wrapper a parameter, nested
            layers[experts.parameter_name] = experts
            experts = experts.base_layer
        wrapper.forward = partial(experts_forward, experts, layers)


def linear_forward(base: nn.Linear, layer: ParamWrapper, x: Tensor) -> Tensor:
    """A dense layer of a MoE, whose weight PEFT adapts as a parameter."""
    y: Tensor = base(x)
    if layer.disable_adapters:
        return y
    a, b = (factor["default"].weight.to(x.dtype) for factor in (layer.lora_A, layer.lora_B))
    low_rank: Tensor = layer.scaling["default"] * linear(linear(x, a), b)
    return y + low_rank


def experts_forward(
    experts: Any, layers: dict[str, ParamWrapper], hidden_TI: Tensor, top_k_index: Tensor, top_k_weights: Tensor
) -> Tensor:
    """What transformers' module `experts` computes, (T, I), with the adapters of `layers` beside its frozen weights.

    `top_k_index` and `top_k_weights`: (T, K), the experts of each token and what their outputs weigh.
    """
    num_tokens, top_k = top_k_index.shape
    expert_S, order_S = top_k_index.reshape(-1).sort(stable=True)
    ends_E = torch.bincount(expert_S, minlength=experts.num_experts).cumsum(0).to(torch.int32)
    inner_SI = _product(experts, layers, "gate_up_proj", hidden_TI[order_S // top_k], expert_S, ends_E)
    outer_SO = _product(experts, layers, "down_proj", experts._apply_gate(inner_SI), expert_S, ends_E)
    weighted_SO = outer_SO * top_k_weights.reshape(-1)[order_S].unsqueeze(-1)
    # Back in the order of the tokens and summed there: adding by index would be in any order on CUDA.
    restored_SO = weighted_SO[order_S.argsort()]
    return restored_SO.view(num_tokens, top_k, -1).sum(1).to(hidden_TI.dtype)


def _product(
    experts: Any, layers: dict[str, ParamWrapper], name: str, x_SI: Tensor, expert_S: Tensor, ends_E: Tensor
) -> Tensor:
    """x W^T + bias + scaling * (x A^T) B^T, each row with its expert's matrices."""
    weight = getattr(experts, name)
    weight_EIO = weight if experts.is_transposed else weight.transpose(1, 2)
    x_SI = x_SI.to(weight.dtype)
    y_SO = grouped_mm(x_SI, weight_EIO, offs=ends_E)
    if experts.has_bias:
        y_SO = y_SO + getattr(experts, f"{name}_bias")[expert_S]
    if name not in layers or layers[name].disable_adapters:
        return y_SO
    a_EIR, b_ERO, scaling = _factors(layers[name], weight.dtype)
    return y_SO + scaling * grouped_mm(grouped_mm(x_SI, a_EIR, offs=ends_E), b_ERO, offs=ends_E)


def _factors(layer: ParamWrapper, dtype: torch.dtype) -> tuple[Tensor, Tensor, float]:
    """A^T (E, I, R) and B^T (E, R, O) of every expert, in the base's precision as PEFT has them, and alpha / rank.

    PEFT keeps A as (E*R, I), experts outermost, and B as (O, R*E), experts innermost.
    """
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    a_EIR = a.view(layer.num_experts, -1, a.shape[-1]).transpose(1, 2)
    b_ERO = b.view(b.shape[0], -1, layer.num_experts).permute(2, 1, 0).contiguous()
    return a_EIR.to(dtype), b_ERO.to(dtype), layer.scaling["default"]
