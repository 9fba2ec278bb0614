"""Experts with a low-rank adapter, forward and backward, without ever building W + B A.

PEFT's wrapper of a fused parameter materialises W + scaling * B A for all experts and keeps it for the backward pass,
which then forms the dense gradient of every expert before it is reduced to those of A and B. Here the frozen product
stays as it is, the low rank goes beside it, and there are gradients for A and B alone:

    inner = x W1^T + b1 + s1 (x A1^T) B1^T      outer = gate(inner) W2^T + b2 + s2 (gate(inner) A2^T) B2^T

each row with the matrices of its expert. What the backward pass needs of a layer is kept once: `inner`. The rows of x
are gathered again, the gate is computed again, and the gradient of a routing weight, <outer, g>, is taken from
<gate(inner), g W2>, which the pass computes anyway, so that `outer` is not kept (SonicMoE, arXiv:2512.14080).

Every family that keeps transformers' convention of fused experts runs through this one function. Shapes: T tokens, K
experts each, S = T K pairs sorted by expert; E experts, R rank, I inputs, J inner (gate and up), F gated, O outputs.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora.layer import ParamWrapper
from torch import Tensor, nn
from torch.nn.functional import grouped_mm, linear

from doubleback.rl.policy.layout import per_expert

INNER, OUTER = "gate_up_proj", "down_proj"


def compute_low_rank_apart(model: PeftModel) -> None:
    """Compute the parameters that carry an adapter as in the head of this file.

    PEFT's modules stay where they are and keep the tensors: layout on disk, names and switches are PEFT's.
    """
    wrappers = [(name, module) for name, module in model.named_modules() if isinstance(module, ParamWrapper)]
    for wrapper in [module for name, module in wrappers if not name.endswith(".base_layer")]:
        layers: dict[str, ParamWrapper] = {}
        inside: Any = wrapper
        while isinstance(inside, ParamWrapper):  # one wrapper a parameter, nested
            layers[inside.parameter_name] = inside
            inside = inside.base_layer
        if isinstance(inside, nn.Linear):
            wrapper.forward = partial(linear_forward, inside, wrapper)
        elif layers.keys() == {INNER, OUTER}:
            wrapper.forward = partial(experts_forward, inside, layers[INNER], layers[OUTER])
        # else a router: small, and read by code of each family's own


def linear_forward(base: nn.Linear, layer: ParamWrapper, x: Tensor) -> Tensor:
    """A dense layer of a MoE, whose weight PEFT adapts as a parameter."""
    y: Tensor = base(x)
    if layer.disable_adapters:
        return y
    a, b = (factor["default"].weight.to(x.dtype) for factor in (layer.lora_A, layer.lora_B))
    low_rank: Tensor = layer.scaling["default"] * linear(linear(x, a), b)
    return y + low_rank


def experts_forward(
    experts: Any, inner: ParamWrapper, outer: ParamWrapper, hidden_TI: Tensor, index_TK: Tensor, weights_TK: Tensor
) -> Tensor:
    """What transformers' module `experts` computes, (T, I), with the adapters of both parameters.

    `index_TK` and `weights_TK`: the experts of each token and what their outputs weigh.
    """
    if inner.disable_adapters:
        frozen: Tensor = experts(hidden_TI, index_TK, weights_TK)
        return frozen
    dtype = experts.gate_up_proj.dtype
    factors = (*_factors(inner, dtype), *_factors(outer, dtype))
    scalings = (inner.scaling["default"], outer.scaling["default"])
    y_TO: Tensor = _Experts.apply(  # type: ignore[no-untyped-call]
        experts, scalings, index_TK, hidden_TI.to(dtype), weights_TK, *factors
    )
    return y_TO.to(hidden_TI.dtype)


def _factors(layer: ParamWrapper, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A (E, R, I) and B (E, O, R) of every expert, in the base's precision as PEFT has them."""
    a_ERI, b_EOR = per_expert(layer.lora_A["default"].weight, layer.lora_B["default"].weight, layer.num_experts)
    # The grouped kernel wants each expert's matrix in one piece; PEFT's columns of an expert are E apart.
    return a_ERI.to(dtype), b_EOR.contiguous().to(dtype)


class _Experts(torch.autograd.Function):
    """The formulas in the head of this file."""

    @staticmethod
    def forward(
        ctx: Any,
        experts: Any,
        scalings: tuple[float, float],
        index_TK: Tensor,
        hidden_TI: Tensor,
        weights_TK: Tensor,
        a1_ERI: Tensor,
        b1_EJR: Tensor,
        a2_ERF: Tensor,
        b2_EOR: Tensor,
    ) -> Tensor:
        expert_S, order_S = index_TK.reshape(-1).sort(stable=True)
        ends_E = torch.bincount(expert_S, minlength=experts.num_experts).cumsum(0).to(torch.int32)
        x_SI = hidden_TI[order_S // index_TK.shape[1]]
        low1_SR = _times(x_SI, a1_ERI.mT, ends_E)
        inner_SJ = _times(x_SI, _matrices(experts, INNER).mT, ends_E)
        inner_SJ += scalings[0] * _times(low1_SR, b1_EJR.mT, ends_E)
        gated_SF = experts._apply_gate(_biased(experts, INNER, inner_SJ, expert_S))
        low2_SR = _times(gated_SF, a2_ERF.mT, ends_E)
        outer_SO = _times(gated_SF, _matrices(experts, OUTER).mT, ends_E)
        outer_SO += scalings[1] * _times(low2_SR, b2_EOR.mT, ends_E)
        outer_SO = _biased(experts, OUTER, outer_SO, expert_S)
        outer_SO *= weights_TK.reshape(-1)[order_S].unsqueeze(-1)
        factors = (a1_ERI, b1_EJR, a2_ERF, b2_EOR)
        ctx.save_for_backward(hidden_TI, weights_TK, expert_S, order_S, ends_E, inner_SJ, low1_SR, low2_SR, *factors)
        ctx.experts, ctx.scalings = experts, scalings
        return _by_token(outer_SO, order_S, index_TK.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        hidden_TI, weights_TK, expert_S, order_S, ends_E, inner_SJ, low1_SR, low2_SR, *factors = ctx.saved_tensors
        (a1_ERI, b1_EJR, a2_ERF, b2_EOR), experts, scalings = factors, ctx.experts, ctx.scalings
        top_k = weights_TK.shape[1]
        gated_SF, gate_backward = _gate(experts, inner_SJ, expert_S)
        weight_S1 = weights_TK.reshape(-1)[order_S].unsqueeze(-1).to(inner_SJ.dtype)
        g_SO = gradients[0][order_S // top_k]
        # The down projection: back through outer, for now without the routing weights.
        back2_SR = scalings[1] * _times(g_SO, b2_EOR, ends_E)
        back_SF = _times(g_SO, _matrices(experts, OUTER), ends_E)
        back_SF += _times(back2_SR, a2_ERF, ends_E)
        exact = torch.promote_types(g_SO.dtype, torch.float32)
        weight_grad_S = (gated_SF * back_SF).sum(-1, dtype=exact)
        if experts.has_bias:
            weight_grad_S += (experts.down_proj_bias[expert_S] * g_SO).sum(-1, dtype=exact)
        a2_grad = _outer_products(back2_SR * weight_S1, gated_SF, ends_E)
        b2_grad = _outer_products(g_SO, scalings[1] * weight_S1 * low2_SR, ends_E)
        # The gate, then the projection into the experts.
        g_SJ = gate_backward(back_SF * weight_S1)
        back1_SR = scalings[0] * _times(g_SJ, b1_EJR, ends_E)
        a1_grad = _outer_products(back1_SR, hidden_TI[order_S // top_k], ends_E)
        b1_grad = _outer_products(g_SJ, scalings[0] * low1_SR, ends_E)
        hidden_grad = None
        if ctx.needs_input_grad[3]:
            back_SI = _times(g_SJ, _matrices(experts, INNER), ends_E)
            back_SI += _times(back1_SR, a1_ERI, ends_E)
            hidden_grad = _by_token(back_SI, order_S, top_k)
        weights_grad = torch.empty_like(weight_grad_S)
        weights_grad[order_S] = weight_grad_S
        weights_grad = weights_grad.view_as(weights_TK).to(weights_TK.dtype)
        return None, None, None, hidden_grad, weights_grad, a1_grad, b1_grad, a2_grad, b2_grad


def _gate(experts: Any, inner_SJ: Tensor, expert_S: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The gated rows, computed again, and the way back through the gate, whatever the family has for one."""
    with torch.enable_grad():
        leaf_SJ = inner_SJ.detach().requires_grad_()
        gated_SF: Tensor = experts._apply_gate(_biased(experts, INNER, leaf_SJ, expert_S))
    return gated_SF.detach(), lambda g_SF: torch.autograd.grad(gated_SF, leaf_SJ, g_SF)[0]


def _matrices(experts: Any, name: str) -> Tensor:
    """The frozen matrices as (E, outputs, inputs)."""
    weight: Tensor = getattr(experts, name).detach()
    return weight.mT if experts.is_transposed else weight


def _biased(experts: Any, name: str, rows_SO: Tensor, expert_S: Tensor) -> Tensor:
    return rows_SO + getattr(experts, f"{name}_bias")[expert_S] if experts.has_bias else rows_SO


def _by_token(rows_SO: Tensor, order_S: Tensor, top_k: int) -> Tensor:
    """Rows sorted by expert, back by token and summed, (T, O). Not added by index: on CUDA that has no fixed order."""
    return rows_SO[order_S.argsort()].view(-1, top_k, rows_SO.shape[-1]).sum(1)


def _times(rows_SA: Tensor, matrices_EAB: Tensor, ends_E: Tensor) -> Tensor:
    """Each expert's rows times its matrix, (S, B)."""
    if rows_SA.is_cuda:
        return grouped_mm(rows_SA, matrices_EAB, offs=ends_E)
    product_SB = rows_SA.new_empty(len(rows_SA), matrices_EAB.shape[-1])
    start = 0
    for expert, end in enumerate(ends_E.tolist()):  # in place, and in any precision: faster here than the grouped one
        if end > start:
            torch.mm(rows_SA[start:end], matrices_EAB[expert], out=product_SB[start:end])
        start = end
    return product_SB


def _outer_products(left_SA: Tensor, right_SB: Tensor, ends_E: Tensor) -> Tensor:
    """Each expert's sum over its rows of left row times right row, (E, A, B); 0 for an expert without rows."""
    if left_SA.is_cuda:
        return grouped_mm(left_SA.mT, right_SB, offs=ends_E)
    sums_EAB = left_SA.new_zeros(len(ends_E), left_SA.shape[-1], right_SB.shape[-1])
    start = 0
    for expert, end in enumerate(ends_E.tolist()):
        if end > start:
            torch.mm(left_SA[start:end].mT, right_SB[start:end], out=sums_EAB[expert])
        start = end
    return sums_EAB
