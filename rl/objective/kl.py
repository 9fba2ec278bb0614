"""Estimates of KL(policy || other) from sampled tokens, and the advantage that lowers it.

Shapes: B completions, T completion tokens, V vocabulary.
"""

import torch
from torch import Tensor


def kl_k1(logprobs_BT: Tensor, other_logprobs_BT: Tensor) -> Tensor:
    """log policy - log other: unbiased, of either sign (Schulman 2020, "Approximating KL divergence").

    Its own gradient is that of the log-probability alone, 0 in expectation: in a loss it needs the ratio as a weight.
    """
    return logprobs_BT - other_logprobs_BT


def kl_k2(logprobs_BT: Tensor, other_logprobs_BT: Tensor) -> Tensor:
    """(log policy - log other)^2 / 2: biased, never negative; its gradient is that of KL in expectation (Schulman)."""
    return (logprobs_BT - other_logprobs_BT).square() / 2


def kl_k3(logprobs_BT: Tensor, other_logprobs_BT: Tensor) -> Tensor:
    """Schulman's k3 estimate of KL(policy || other) per token: exp(d) - d - 1, d = other - policy. Never negative."""
    difference_BT = other_logprobs_BT - logprobs_BT
    return difference_BT.exp() - difference_BT - 1


def towards_teacher(logprobs_BT: Tensor, teacher_logprobs_BT: Tensor, mask_BT: Tensor, discount: float) -> Tensor:
    """Advantage of each token, (B, T) without gradient, 0 outside the mask: sum_{t' >= t} discount^(t' - t) d_t', with
    d = log teacher - log student.

    discount 0: the token's own d. Its gradient is that of the per-token KL at the prefixes that the student visits,
        with no gradient through what it visits (GKD with the student's samples and the reverse KL, arXiv:2306.13649;
        Qwen3's on-policy distillation, arXiv:2505.09388). Both papers sum over the vocabulary where this samples.
    discount 1: what follows counts in full. It is the gradient of the KL of whole completions, KL(p(y) || q(y))
        (MiniLLM, arXiv:2306.08543, without its length normalisation, teacher-mixed sampling and clip).

    At a prefix KL(p || q) = sum_V p (log p - log q) has the gradient sum_V p * grad log p * (log p - log q), since
    sum_V p * grad log p = grad 1 = 0: a token drawn from p is one unbiased term of it, and all that is asked of a
    teacher are the log-probabilities of what was drawn. Both ends are unbiased, the second of larger variance; between
    them as in the returns of reinforcement learning. For example d = [-1, 2, -3]: 0 gives [-1, 2, -3], 1 gives
    [-2, -1, -3], 1/2 gives [-0.75, 0.5, -3].
    """
    distance_BT = ((teacher_logprobs_BT - logprobs_BT) * mask_BT).detach()
    if discount == 0:
        return distance_BT
    returns, after_B = [], torch.zeros_like(distance_BT[:, 0])
    for column in reversed(range(distance_BT.shape[1])):
        after_B = distance_BT[:, column] + discount * after_B
        returns.append(after_B)
    return torch.stack(returns[::-1], dim=1) * mask_BT
