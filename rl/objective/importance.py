"""Corrections for an engine that computes other probabilities than the trainer. Shapes: B completions, T tokens.

Every one is a ratio trainer probability / sampler probability and a weight that is made of it. The weight has no
gradient and multiplies the policy term of a token, never its KL or entropy term. What it masks stays in the normaliser
of the step, which is fixed before any forward pass.

For example a completion of three tokens with the ratios 1.5, 4 and 0.1: its product is 0.6, its geometric mean 0.843.
With importance_cap=2 and no floor

    token_truncate      1.5  2.0  0.1    each token's own ratio, bounded
    token_mask          1.5  0.0  0.1    the second is beyond the cap
    sequence_truncate   0.6  0.6  0.6    the product, for every token
    sequence_mask       0.6  0.6  0.6    0 for every token if the product were beyond the cap
    geometric_mask      1.0  1.0  1.0    kept as it is, for 0.843 is within the bounds
"""

import torch
from torch import Tensor


def token_ratio(old_logprobs_BT: Tensor, sampler_logprobs_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The ratio of each token, without gradient, (B, T)."""
    return _log_ratio(old_logprobs_BT, sampler_logprobs_BT).exp()


def sequence_ratio(old_logprobs_BT: Tensor, sampler_logprobs_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The ratio of each completion, the product over its tokens, without gradient, (B, 1)."""
    # A product of ratios is the exponential of a sum, in which the mask leaves prompt and padding out.
    return (_log_ratio(old_logprobs_BT, sampler_logprobs_BT) * mask_BT).sum(-1, keepdim=True).exp()


def geometric_ratio(old_logprobs_BT: Tensor, sampler_logprobs_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The geometric mean of each completion's ratios, which does not grow with length, without gradient, (B, 1)."""
    total_B1 = (_log_ratio(old_logprobs_BT, sampler_logprobs_BT) * mask_BT).sum(-1, keepdim=True)
    # A row without a token has a sum of 0; over 1 that is a ratio of 1, where 0 / 0 would spoil the loss.
    return (total_B1 / mask_BT.sum(-1, keepdim=True).clamp(min=1)).exp()


def truncated(ratio: Tensor, floor: float | None, cap: float) -> Tensor:
    """The ratio within the bounds; `floor=None`: bounded above only.

    TIS (Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training"), token or sequence;
    the paper has a cap alone.
    """
    return ratio.clamp(min=floor, max=cap)


def masked(ratio: Tensor, floor: float | None, cap: float) -> Tensor:
    """The ratio, or 0 outside the bounds.

    MIS (Liu et al. 2025, "When speed kills stability"); with both bounds per token it is IcePop (arXiv:2510.18855:
    M(k) = k within [alpha, beta], else 0).
    """
    return ratio.where(_is_within(ratio, floor, cap), 0.0)


def rejected(ratio: Tensor, floor: float | None, cap: float) -> Tensor:
    """1, or 0 outside the bounds (Liu et al. 2025, sequences rejected whole)."""
    return torch.ones_like(ratio).where(_is_within(ratio, floor, cap), 0.0)


def bound_shares(ratio: Tensor, floor: float | None, cap: float) -> dict[str, Tensor]:
    """Metric name -> where the ratio is at a bound or beyond it."""
    capped = {"learner/importance_capped": ratio >= cap}
    return capped if floor is None else {**capped, "learner/importance_floored": ratio <= floor}


def _log_ratio(old_logprobs_BT: Tensor, sampler_logprobs_BT: Tensor) -> Tensor:
    return (old_logprobs_BT - sampler_logprobs_BT).detach()


def _is_within(ratio: Tensor, floor: float | None, cap: float) -> Tensor:
    """A ratio is never negative, so that no floor is a floor of 0."""
    return (ratio >= (0.0 if floor is None else floor)) & (ratio <= cap)
