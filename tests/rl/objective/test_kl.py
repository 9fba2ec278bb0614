"""Estimates of the KL divergence: by hand, by what they estimate."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor
from torch.testing import assert_close

from doubleback.rl.objective.kl import kl_k1, kl_k2, kl_k3

DOUBLE = torch.float64
ESTIMATORS = {"k1": kl_k1, "k2": kl_k2, "k3": kl_k3}


def test_k1_by_hand():
    found = kl_k1(tensor([[-1.0, -2.0]], dtype=DOUBLE), tensor([[-1.5, -0.5]], dtype=DOUBLE))
    assert_close(found, tensor([[0.5, -1.5]], dtype=DOUBLE), atol=1e-12, rtol=0)


def test_k2_by_hand():
    logprobs = tensor([[-1.0, -2.0]], dtype=DOUBLE, requires_grad=True)
    found = kl_k2(logprobs, tensor([[-1.5, -0.5]], dtype=DOUBLE))
    found.sum().backward()
    assert_close(found, tensor([[0.125, 1.125]], dtype=DOUBLE), atol=1e-12, rtol=0)
    assert_close(logprobs.grad, tensor([[0.5, -1.5]], dtype=DOUBLE), atol=1e-12, rtol=0)


def test_k3_by_hand():
    logprobs = tensor([[-1.0, -1.0, -1.0]], dtype=DOUBLE, requires_grad=True)
    values = kl_k3(logprobs, tensor([[-1.0, 0.0, -2.0]], dtype=DOUBLE))
    values.sum().backward()
    assert_close(values, tensor([[0.0, math.e - 2, 1 / math.e]], dtype=DOUBLE), atol=1e-12, rtol=0)
    assert_close(logprobs.grad, tensor([[0.0, 1 - math.e, 1 - 1 / math.e]], dtype=DOUBLE), atol=1e-12, rtol=0)


@given(st.floats(-20, 0), st.floats(-20, 0))
def test_k3_is_never_negative(logprob, other):
    value = kl_k3(tensor([logprob], dtype=DOUBLE), tensor([other], dtype=DOUBLE)).item()
    assert value >= 0
    assert value > 0 or abs(logprob - other) < 1e-6


@pytest.mark.parametrize("kl", [kl_k1, kl_k3])
def test_k1_and_k3_estimate_the_kl_divergence_without_bias(kl):
    logits = torch.randn(2, 50, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    policy, other = logits.log_softmax(-1)
    expected = (policy.exp() * (policy - other)).sum()
    assert_close((policy.exp() * kl(policy, other)).sum(), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_gradients_in_expectation(estimator):
    """k2's own gradient is that of the divergence; times the ratio all unbiased ones have it; k1 alone has none."""
    kl = ESTIMATORS[estimator]
    logits = torch.randn(20, dtype=DOUBLE, generator=torch.Generator().manual_seed(1)).requires_grad_()
    other = torch.randn(20, dtype=DOUBLE, generator=torch.Generator().manual_seed(2)).log_softmax(-1)

    def slope(function):
        return torch.autograd.grad(function(logits.log_softmax(-1)), logits)[0]

    divergence = slope(lambda policy: (policy.exp() * (policy - other)).sum())
    alone = slope(lambda policy: (policy.detach().exp() * kl(policy, other)).sum())
    weighted = slope(
        lambda policy: (policy.detach().exp() * (policy - policy.detach()).exp() * kl(policy, other)).sum()
    )
    if estimator == "k1":
        assert_close(alone, torch.zeros_like(alone), atol=1e-12, rtol=0)
    assert torch.allclose(alone, divergence, atol=1e-12) == (estimator == "k2")
    assert torch.allclose(weighted, divergence, atol=1e-12) == (estimator in ("k1", "k3"))
