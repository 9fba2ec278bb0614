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
from torch.nn.functional import grouped_mm, linear, pad

from doubleback.rl.policy.layout import per_expert

INNER, OUTER = "gate_up_proj", "down_proj"
ROW_BYTES = 16
"""The grouped kernel refuses matrices whose rows do not begin at multiples of it."""


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
    y_TO: Tensor = LowRankExperts.apply(  # type: ignore[no-untyped-call]
        experts, scalings, index_TK, hidden_TI.to(dtype), weights_TK, *factors
    )
    return y_TO.to(hidden_TI.dtype)


def sort_by_expert(index_TK: Tensor, num_experts: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pairs of token and expert, so ordered that the rows of an expert stand together.

    Returns the expert of each pair (S,), its place in `index_TK` flattened (S,), and behind which pair each expert ends
    (E,). Token of a pair: its place // K. Three tokens, two of four experts each:

        index_TK  [[2, 0], [0, 1], [2, 1]]        flattened  2 0 0 1 2 1
        expert_S  0 0 1 1 2 2                     whose rows are whose
        order_S   1 2 3 5 0 4                     so that tokens are 0 1 1 2 0 2
        ends_E    2 4 6 6                         expert 3 has no rows
    """
    # Stable: the sum over an expert's rows has one order, and so one rounding.
    expert_S, order_S = index_TK.reshape(-1).sort(stable=True)
    ends_E = torch.bincount(expert_S, minlength=num_experts).cumsum(0).to(torch.int32)
    return expert_S, order_S, ends_E


def _factors(layer: ParamWrapper, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A (E, R, I) and B (E, O, R) of every expert, in the base's precision as PEFT has them.

    For the grouped kernel R is filled up with ranks of zeros, which add nothing: of bfloat16, 4 become 8.
    """
    a_ERI, b_EOR = per_expert(layer.lora_A["default"].weight, layer.lora_B["default"].weight, layer.num_experts)
    a_ERI, b_EOR = a_ERI.to(dtype), b_EOR.to(dtype)
    if is_grouped(a_ERI) and (missing := -a_ERI.shape[1] % (ROW_BYTES // dtype.itemsize)):
        a_ERI, b_EOR = pad(a_ERI, (0, 0, 0, missing)), pad(b_EOR, (0, missing))
    # The grouped kernel wants each expert's matrix in one piece; PEFT's columns of an expert are E apart.
    return a_ERI, b_EOR.contiguous()


def is_grouped(tensor: Tensor) -> bool:
    """Whether the products of all experts are one kernel, as they are on CUDA, and not one after the other."""
    return tensor.is_cuda


class LowRankExperts(torch.autograd.Function):
    """The formulas in the head of this file, forward and backward.

    A pair is a token with one of its experts. With x its input, w its routing weight, u = `inner`, f = gate(u) and
    o = `outer`, the token's output is y = sum of w o over its pairs. Back from g = dL/dy, pair by pair:

        h = W2^T g + s2 A2^T (B2^T g)            what reaches f, still without w
        dL/dw  = <o, g> = <f, h> + <b2, g>       since o = W2 f + s2 B2 A2 f + b2
        dL/dB2 = w s2 g (A2 f)^T                 dL/dA2 = w s2 (B2^T g) f^T
        d      = gate'(u)^T (w h)                what reaches u
        dL/dB1 = s1 d (A1 x)^T                   dL/dA1 = s1 (B1^T d) x^T
        dL/dx  = W1^T d + s1 A1^T (B1^T d)

    One token, one expert, every matrix a number, a gate that changes nothing, no bias, s1 = s2 = 1:

        x = 2, W1 = 3, A1 = 1, B1 = 0.5    u = 3*2 + 0.5*(1*2) = 7
        W2 = 1, A2 = 2, B2 = 0.1           o = 1*7 + 0.1*(2*7) = 8.4        w = 0.5: y = 4.2
        g = 1                              h = 1 + 2*0.1 = 1.2              dL/dw = 7*1.2 = 8.4, which is o
        dL/dB2 = 0.5*14 = 7                dL/dA2 = 0.5*0.1*7 = 0.35        d = 0.5*1.2 = 0.6
        dL/dB1 = 0.6*2 = 1.2               dL/dA1 = 0.6*0.5*2 = 0.6         dL/dx = 0.6*3 + 0.6*0.5*1 = 2.1
    """

    @staticmethod
    def forward(
        ctx: Any,
        experts: Any,
        scalings: tuple[float, float],
        index_TK: Tensor,
        hidden_TI: Tensor,
        weights_TK: Tensor,
        *factors: Tensor,
    ) -> Tensor:
        """What the experts add up to for each token, (T, O). `factors`: A and B of inner, then of outer."""
        a1_ERI, b1_EJR, a2_ERF, b2_EOR = factors
        expert_S, order_S, ends_E = sort_by_expert(index_TK, experts.num_experts)
        top_k = index_TK.shape[1]
        # A token's row once for each of its experts, in the order of the pairs.
        x_SI = hidden_TI[order_S // top_k]
        # u = W1 x + s1 B1 (A1 x): the low rank goes through R numbers a row and never meets W1.
        low1_SR = _times(x_SI, a1_ERI.mT, ends_E)
        inner_SJ = _times(x_SI, _matrices(experts, INNER).mT, ends_E)
        inner_SJ += scalings[0] * _times(low1_SR, b1_EJR.mT, ends_E)
        # The bias is added in a copy: what is kept for the way back is without it, as `_gate` wants it.
        gated_SF = experts._apply_gate(_biased(experts, INNER, inner_SJ, expert_S))
        # o = W2 f + s2 B2 (A2 f) + b2
        low2_SR = _times(gated_SF, a2_ERF.mT, ends_E)
        outer_SO = _times(gated_SF, _matrices(experts, OUTER).mT, ends_E)
        outer_SO += scalings[1] * _times(low2_SR, b2_EOR.mT, ends_E)
        outer_SO = _biased(experts, OUTER, outer_SO, expert_S)
        # w o, then the sum over a token's experts. In place: o itself is not needed again, see <f, h> above.
        outer_SO *= weights_TK.reshape(-1)[order_S].unsqueeze(-1)
        # x is gathered again on the way back and f computed again: of a row, only u and twice R numbers are kept.
        ctx.save_for_backward(hidden_TI, weights_TK, expert_S, order_S, ends_E, inner_SJ, low1_SR, low2_SR, *factors)
        ctx.experts, ctx.scalings = experts, scalings
        return _by_token(outer_SO, order_S, top_k)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of hidden states, routing weights and factors; none of the frozen matrices."""
        hidden_TI, weights_TK, expert_S, order_S, ends_E, inner_SJ, low1_SR, low2_SR, *factors = ctx.saved_tensors
        (a1_ERI, b1_EJR, a2_ERF, b2_EOR), experts, scalings = factors, ctx.experts, ctx.scalings
        top_k = weights_TK.shape[1]
        gated_SF, gate_backward = _gate(experts, inner_SJ, expert_S)
        weight_S1 = weights_TK.reshape(-1)[order_S].unsqueeze(-1).to(inner_SJ.dtype)
        # Every pair of a token gets the token's gradient: y is their sum.
        g_SO = gradients[0][order_S // top_k]
        # h = W2^T g + A2^T (s2 B2^T g), for now without w: <f, h> is the routing weight's own gradient.
        back2_SR = scalings[1] * _times(g_SO, b2_EOR, ends_E)
        back_SF = _times(g_SO, _matrices(experts, OUTER), ends_E)
        back_SF += _times(back2_SR, a2_ERF, ends_E)
        # Summed in float32 at least: a sum of F products in bfloat16 would lose the small ones.
        exact = torch.promote_types(g_SO.dtype, torch.float32)
        weight_grad_S = (gated_SF * back_SF).sum(-1, dtype=exact)
        if experts.has_bias:
            weight_grad_S += (experts.down_proj_bias[expert_S] * g_SO).sum(-1, dtype=exact)
        # dL/dA2 = sum of (s2 B2^T g) w f^T; dL/dB2 = sum of g (s2 w A2 f)^T: w and s2 meet R numbers, not O or F.
        a2_grad = _outer_products(back2_SR * weight_S1, gated_SF, ends_E)
        b2_grad = _outer_products(g_SO, scalings[1] * weight_S1 * low2_SR, ends_E)
        # d = gate'(u)^T (w h), by autograd: each family has a gate of its own.
        g_SJ = gate_backward(back_SF * weight_S1)
        # dL/dA1 = sum of (s1 B1^T d) x^T; dL/dB1 = sum of d (s1 A1 x)^T
        back1_SR = scalings[0] * _times(g_SJ, b1_EJR, ends_E)
        a1_grad = _outer_products(back1_SR, hidden_TI[order_S // top_k], ends_E)
        b1_grad = _outer_products(g_SJ, scalings[0] * low1_SR, ends_E)
        hidden_grad = None
        if ctx.needs_input_grad[3]:  # else nothing below trains
            # dL/dx = W1^T d + A1^T (s1 B1^T d), summed over the token's pairs
            back_SI = _times(g_SJ, _matrices(experts, INNER), ends_E)
            back_SI += _times(back1_SR, a1_ERI, ends_E)
            hidden_grad = _by_token(back_SI, order_S, top_k)
        # Pair s stands at place order_S[s] of `weights_TK`: written there, not gathered from there.
        weights_grad = torch.empty_like(weight_grad_S)
        weights_grad[order_S] = weight_grad_S
        weights_grad = weights_grad.view_as(weights_TK).to(weights_TK.dtype)
        # One for each argument of `forward`: neither module, scalings nor indices have a gradient.
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
    """Rows sorted by expert, back by token and summed, (T, O). Not added by index: on CUDA that has no fixed order.

    The inverse of a permutation is its argsort: with order 1 2 3 5 0 4, place 0 stands in row 4, place 1 in row 0, and
    token 0, whose places are 0 and 1, is row 4 + row 0.
    """
    return rows_SO[order_S.argsort()].view(-1, top_k, rows_SO.shape[-1]).sum(1)


def _times(rows_SA: Tensor, matrices_EAB: Tensor, ends_E: Tensor) -> Tensor:
    """Each expert's rows times its matrix, (S, B)."""
    if is_grouped(rows_SA):
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
    if is_grouped(left_SA):
        return grouped_mm(left_SA.mT, right_SB, offs=ends_E)
    sums_EAB = left_SA.new_zeros(len(ends_E), left_SA.shape[-1], right_SB.shape[-1])
    start = 0
    for expert, end in enumerate(ends_E.tolist()):
        if end > start:
            torch.mm(left_SA[start:end].mT, right_SB[start:end], out=sums_EAB[expert])
        start = end
    return sums_EAB
