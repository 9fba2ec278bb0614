"""The loss, as pure functions. Shapes: B completions, T completion tokens, V vocabulary.

What is minimised, with w the weights of `token_weights` and everything else per token:

    sum_BT  w * ( - importance * min(ratio * A, clip(ratio, 1 - clip_low, 1 + clip_high) * A)  +  kl_coef * k3 )

Departures from DeepSeekMath (arXiv:2402.03300, eq. 3): two clip ranges (DAPO), a truncated importance weight between
trainer and sampler, and weights that are fixed over the whole step.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def token_logprobs(logits_BTV: Tensor, ids_BT: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probability of each id and entropy of each distribution, both (B, T) in nats, float32 for any logits.

    The entropy carries no gradient: it is a measure.
    """
    logprobs_BTV = torch.log_softmax(logits_BTV.float() / temperature, dim=-1)
    with torch.no_grad():
        entropy_BT = -(logprobs_BTV.exp() * logprobs_BTV).sum(-1)
    return logprobs_BTV.gather(-1, ids_BT.unsqueeze(-1)).squeeze(-1), entropy_BT


def token_weights(lengths_B: Sequence[int], normaliser: str, max_tokens: int) -> list[float]:
    """Weight of one token of each completion, over the whole step. Length 0 marks a completion left out of the loss.

    constant: 1 / (B * max_tokens)      Dr. GRPO, arXiv:2503.20783: no bias towards short wrong answers
    token:    1 / sum of lengths        DAPO, arXiv:2503.14476, eq. 8: every token counts the same
    sequence: 1 / (B * length)          GRPO, arXiv:2402.03300, eq. 3: every completion counts the same

    B counts every completion given here, also those without advantage, so that leaving zero-variance groups out of the
    forward pass changes nothing.
    """
    num_completions, num_tokens = len(lengths_B), sum(lengths_B)
    match normaliser:
        case "constant":
            return [1.0 / (num_completions * max_tokens) for _ in lengths_B]
        case "token":
            return [1.0 / max(num_tokens, 1)] * num_completions
        case "sequence":
            return [1.0 / (num_completions * max(length, 1)) for length in lengths_B]
    raise ValueError(f"normaliser={normaliser!r} is not one of constant, token, sequence")


def clipped_surrogate(
    logprobs_BT: Tensor, old_logprobs_BT: Tensor, advantages_B1: Tensor, clip_low: float, clip_high: float
) -> Tensor:
    """Per-token loss (B, T): -min(ratio * A, clipped ratio * A) (PPO, arXiv:1707.06347, eq. 7; two ranges as DAPO)."""
    ratio_BT = (logprobs_BT - old_logprobs_BT).exp()
    clipped_BT = ratio_BT.clamp(1 - clip_low, 1 + clip_high)
    return -torch.minimum(ratio_BT * advantages_B1, clipped_BT * advantages_B1)


def importance_weights(old_logprobs_BT: Tensor, sampler_logprobs_BT: Tensor, cap: float | None) -> Tensor:
    """min(trainer probability / sampler probability, cap) per token, without gradient: truncated importance sampling.

    Corrects for an engine that computes other probabilities than the trainer (Yao et al. 2025, "Your efficient RL
    framework secretly brings you off-policy RL training"). `cap=None`: all ones.
    """
    if cap is None:
        return torch.ones_like(old_logprobs_BT)
    return (old_logprobs_BT - sampler_logprobs_BT).detach().exp().clamp(max=cap)


def kl_k3(logprobs_BT: Tensor, other_logprobs_BT: Tensor) -> Tensor:
    """Schulman's k3 estimate of KL(policy || other) per token: exp(d) - d - 1, d = other - policy. Never negative."""
    difference_BT = other_logprobs_BT - logprobs_BT
    return difference_BT.exp() - difference_BT - 1


def policy_loss(
    logprobs_BT: Tensor,
    old_logprobs_BT: Tensor,
    sampler_logprobs_BT: Tensor,
    ref_logprobs_BT: Tensor | None,
    advantages_B1: Tensor,
    weights_BT: Tensor,
    *,
    clip_low: float,
    clip_high: float,
    importance_cap: float | None,
    kl_coef: float,
) -> Tensor:
    """The step's loss as in the head of this file: a scalar, summed over the tokens given (weights 0 where masked).

    Sums of microbatches equal the whole. `ref_logprobs_BT` is needed exactly where kl_coef > 0. The KL term is k3
    itself, as in DeepSeekMath; TRL's default multiplies it by the ratio, which changes its gradient.
    """
    loss_BT = clipped_surrogate(logprobs_BT, old_logprobs_BT, advantages_B1, clip_low, clip_high)
    loss_BT = loss_BT * importance_weights(old_logprobs_BT, sampler_logprobs_BT, importance_cap)
    if kl_coef > 0:
        if ref_logprobs_BT is None:
            raise ValueError(f"kl_coef={kl_coef} needs ref_logprobs_BT")
        loss_BT = loss_BT + kl_coef * kl_k3(logprobs_BT, ref_logprobs_BT)
    return (loss_BT * weights_BT).sum()
