"""Estimates of KL(policy || other) from sampled tokens. Shapes: B completions, T completion tokens."""

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
