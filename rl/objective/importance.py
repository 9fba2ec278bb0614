"""Corrections for an engine that computes other probabilities than the trainer. Shapes: B completions, T tokens.

Every one is a weight without gradient that multiplies the policy term of a token, never its KL or entropy term.
"""

import torch
from torch import Tensor

CORRECTIONS = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask", "geometric_mask")


def mismatch_ratio(old_logprobs_BT: Tensor, sampler_logprobs_BT: Tensor, mask_BT: Tensor, correction: str) -> Tensor:
    """trainer probability / sampler probability, without gradient: (B, T) per token, else (B, 1).

    token_*:        of the token
    sequence_*:     of the completion, the product over its tokens
    geometric_mask: the geometric mean over its tokens, which does not grow with length
    """
    difference_BT = (old_logprobs_BT - sampler_logprobs_BT).detach()
    match correction:
        case "token_truncate" | "token_mask":
            return difference_BT.exp()
        case "sequence_truncate" | "sequence_mask":
            return (difference_BT * mask_BT).sum(-1, keepdim=True).exp()
        case "geometric_mask":
            return ((difference_BT * mask_BT).sum(-1, keepdim=True) / mask_BT.sum(-1, keepdim=True).clamp(min=1)).exp()
    raise ValueError(f"correction={correction!r} is not one of {', '.join(CORRECTIONS)}")


def importance_weights(
    old_logprobs_BT: Tensor,
    sampler_logprobs_BT: Tensor,
    mask_BT: Tensor,
    *,
    correction: str,
    floor: float | None,
    cap: float,
) -> Tensor:
    """Weight of each token's policy term, without gradient, (B, T) or (B, 1). `floor=None`: bounded above only.

    *_truncate: the ratio within the bounds. TIS (Yao et al. 2025, "Your efficient RL framework secretly brings you
                off-policy RL training"), token or sequence; the paper has a cap alone.
    *_mask:     the ratio, or 0 outside the bounds. MIS (Liu et al. 2025, "When speed kills stability"); with both
                bounds per token it is IcePop (arXiv:2510.18855: M(k) = k within [alpha, beta], else 0).
    geometric_mask: 1, or 0 where the geometric mean is outside the bounds (same source, sequences rejected whole).

    What is masked stays in the normaliser of the step: its weight is fixed before any forward pass.
    """
    ratio = mismatch_ratio(old_logprobs_BT, sampler_logprobs_BT, mask_BT, correction)
    if correction.endswith("_truncate"):
        return ratio.clamp(min=floor, max=cap)
    kept = torch.ones_like(ratio) if correction == "geometric_mask" else ratio
    return kept.where((ratio >= (floor or 0.0)) & (ratio <= cap), 0.0)
