"""The loss: each term by hand, the whole against the float64 reference."""

import math
import random

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor
from torch.testing import assert_close

from doubleback.rl.losses import (
    clipped_surrogate,
    importance_weights,
    kl_k3,
    policy_loss,
    token_logprobs,
    token_weights,
)

DOUBLE = torch.float64
LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(any)


@pytest.mark.parametrize(
    ("log_ratio", "advantage", "expected", "gradient"),
    [
        (0.0, 1.0, -1.0, -1.0),
        (0.0, -2.0, 2.0, 2.0),
        (0.1, 1.0, -1.1051709180756477, -1.1051709180756477),  # e^0.1 within [0.8, 1.28]
        (1.0, 1.0, -1.28, 0.0),  # ratio e, clipped to 1.28: nothing more to gain
        (1.0, -1.0, math.e, math.e),  # ratio e, pessimistic: the mistake counts in full
        (-1.0, 1.0, -1 / math.e, -1 / math.e),  # ratio 1/e, pessimistic
        (-1.0, -1.0, 0.8, 0.0),  # ratio 1/e, clipped to 0.8
        (1.0, 0.0, 0.0, 0.0),
    ],
)
def test_clipped_surrogate_by_hand(log_ratio, advantage, expected, gradient):
    logprobs = tensor([[log_ratio - 2.0]], dtype=DOUBLE, requires_grad=True)
    old = tensor([[-2.0]], dtype=DOUBLE)
    loss = clipped_surrogate(logprobs, old, tensor([[advantage]], dtype=DOUBLE), clip_low=0.2, clip_high=0.28)
    loss.sum().backward()
    assert_close(loss.item(), expected, atol=1e-12, rtol=0)
    assert_close(logprobs.grad.item(), gradient, atol=1e-12, rtol=0)


def test_importance_weight_is_capped_above_only_and_carries_no_gradient():
    old = tensor([[0.0, math.log(1.5), math.log(0.01), 5.0]], dtype=DOUBLE, requires_grad=True)
    weights = importance_weights(old, torch.zeros(1, 4, dtype=DOUBLE), cap=2.0)
    assert not weights.requires_grad
    assert_close(weights, tensor([[1.0, 1.5, 0.01, 2.0]], dtype=DOUBLE), atol=1e-12, rtol=0)


def test_importance_weight_without_a_cap_is_one_not_the_ratio():
    assert_close(importance_weights(torch.ones(2, 3), torch.zeros(2, 3), cap=None), torch.ones(2, 3), atol=0, rtol=0)


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


def test_k3_estimates_the_kl_divergence_without_bias():
    logits = torch.randn(2, 50, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    policy, other = logits.log_softmax(-1)
    kl = (policy.exp() * (policy - other)).sum()
    assert_close((policy.exp() * kl_k3(policy, other)).sum(), kl, atol=1e-12, rtol=0)


def test_token_weights_by_hand():
    lengths = [4, 0, 2, 10]
    assert token_weights(lengths, "constant", max_tokens=10) == pytest.approx([1 / 40] * 4, rel=1e-15)
    assert token_weights(lengths, "token", max_tokens=10) == pytest.approx([1 / 16] * 4, rel=1e-15)
    assert token_weights(lengths, "sequence", max_tokens=10) == pytest.approx([1 / 16, 1 / 4, 1 / 8, 1 / 40], rel=1e-15)


@pytest.mark.parametrize("normaliser", ["constant", "token", "sequence"])
@given(lengths=LENGTHS)
def test_token_weights_agree_with_the_reference(normaliser, lengths):
    expected = reference.token_weights(lengths, normaliser, max_tokens=40)
    assert token_weights(lengths, normaliser, max_tokens=40) == pytest.approx(expected, rel=1e-14)


@given(lengths=LENGTHS)
def test_total_weight_says_what_each_normaliser_averages(lengths):
    def total(normaliser: str) -> float:
        weights = token_weights(lengths, normaliser, max_tokens=40)
        return math.fsum(weight * length for weight, length in zip(weights, lengths, strict=True))

    num_used = sum(length > 0 for length in lengths)
    assert total("token") == pytest.approx(1)
    assert total("sequence") == pytest.approx(num_used / len(lengths))
    assert total("constant") == pytest.approx(sum(lengths) / len(lengths) / 40)


@pytest.mark.parametrize("normaliser", ["constant", "token", "sequence"])
def test_a_step_without_a_usable_token_has_finite_weights(normaliser):
    assert all(map(math.isfinite, token_weights([0, 0], normaliser, max_tokens=8)))
    assert token_weights([], normaliser, max_tokens=8) == []


def test_unknown_normaliser_is_refused():
    with pytest.raises(ValueError, match="normaliser='mean' is not one of"):
        token_weights([1], "mean", max_tokens=8)


def test_logprobs_and_entropy_by_hand():
    # temperature 2 turns odds of 9 : 1 into 3 : 1
    logits = tensor([[[math.log(9.0), 0.0]]])
    logprobs, entropy = token_logprobs(logits, tensor([[1]]), temperature=2.0)
    assert_close(logprobs, tensor([[math.log(0.25)]]), atol=1e-6, rtol=0)
    expected = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert_close(entropy, tensor([[expected]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.5])
def test_logprobs_and_entropy_agree_with_the_reference(temperature):
    generator = torch.Generator().manual_seed(1)
    logits = 5 * torch.randn(3, 4, 11, generator=generator)
    ids = torch.randint(11, (3, 4), generator=generator)
    logprobs, entropy = token_logprobs(logits, ids, temperature)
    for b in range(3):
        for t in range(4):
            row = logits[b, t].tolist()
            assert logprobs[b, t].item() == pytest.approx(reference.log_softmax(row, temperature)[ids[b, t]], abs=2e-6)
            assert entropy[b, t].item() == pytest.approx(reference.entropy(row, temperature), abs=2e-6)


def test_logprobs_of_bfloat16_logits_are_taken_in_float32():
    logits = torch.randn(1, 5, 100, generator=torch.Generator().manual_seed(2)).bfloat16()
    ids = torch.arange(5).unsqueeze(0)
    logprobs, entropy = token_logprobs(logits, ids, temperature=1.0)
    assert logprobs.dtype == entropy.dtype == torch.float32
    expected, _ = token_logprobs(logits.double().float(), ids, temperature=1.0)
    assert_close(logprobs, expected, atol=0, rtol=0)


def test_entropy_carries_no_gradient():
    logits = torch.randn(1, 2, 5, requires_grad=True)
    logprobs, entropy = token_logprobs(logits, tensor([[0, 1]]), temperature=1.0)
    assert logprobs.requires_grad
    assert not entropy.requires_grad


def random_tokens(seed: int, num_rows: int = 6, num_columns: int = 9) -> list[list[reference.Token]]:
    """Ratios and importance weights on both sides of every bound; the ends of some rows masked with weight 0."""
    rng = random.Random(seed)
    rows = []
    for row in range(num_rows):
        advantage, weight = rng.choice([-1.3, -0.4, 0.0, 0.6, 1.9]), rng.uniform(0.01, 0.3)
        tokens = []
        for column in range(num_columns):
            old = -3 * rng.random()
            logprob, sampler, ref = (old + rng.gauss(0, spread) for spread in (0.4, 0.8, 0.6))
            tokens.append(reference.Token(logprob, old, sampler, ref, advantage, weight if column < 9 - row else 0.0))
        rows.append(tokens)
    return rows


def torch_loss(rows, options, logprobs):
    def column(name):
        return tensor([[getattr(token, name) for token in row] for row in rows], dtype=DOUBLE)

    return policy_loss(
        logprobs,
        column("old"),
        column("sampler"),
        column("ref") if options.kl_coef else None,
        column("advantage")[:, :1],
        column("weight"),
        clip_low=options.clip_low,
        clip_high=options.clip_high,
        importance_cap=options.importance_cap,
        kl_coef=options.kl_coef,
    )


OPTIONS = {
    "default": reference.Options(),
    "symmetric clip": reference.Options(clip_high=0.2),
    "no clip above": reference.Options(clip_low=0.99, clip_high=1e9),
    "tight clip": reference.Options(clip_low=0.0, clip_high=0.0),
    "no importance": reference.Options(importance_cap=None),
    "low cap": reference.Options(importance_cap=0.5),
    "kl": reference.Options(kl_coef=0.1),
    "kl, no importance": reference.Options(kl_coef=1.7, importance_cap=None),
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("seed", range(4))
def test_policy_loss_and_gradient_agree_with_the_reference(seed, options):
    rows = random_tokens(seed)
    flat = [token for row in rows for token in row]
    logprobs = tensor([[token.logprob for token in row] for row in rows], dtype=DOUBLE, requires_grad=True)
    loss = torch_loss(rows, options, logprobs)
    loss.backward()
    assert loss.item() == pytest.approx(reference.loss(flat, options), rel=1e-12, abs=1e-14)
    expected = tensor(reference.gradient(flat, options), dtype=DOUBLE).view_as(logprobs)
    assert_close(logprobs.grad, expected, atol=1e-14, rtol=1e-12)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_reference_gradient_is_that_of_its_own_loss(options):
    step = 1e-6
    for token in (token for row in random_tokens(seed=9) for token in row):

        def loss_at(shift, token=token):
            moved = reference.Token(
                token.logprob + shift, token.old, token.sampler, token.ref, token.advantage, token.weight
            )
            return reference.loss([moved], options)

        slope = (loss_at(step) - loss_at(-step)) / (2 * step)
        assert slope == pytest.approx(reference.gradient([token], options)[0], rel=1e-6, abs=1e-9)


def test_policy_loss_of_the_parts_sums_to_the_whole():
    rows, options = random_tokens(seed=5), reference.Options(kl_coef=0.1)

    def loss(part):
        return torch_loss(part, options, tensor([[token.logprob for token in row] for row in part], dtype=DOUBLE))

    assert_close(loss(rows[:1]) + loss(rows[1:4]) + loss(rows[4:]), loss(rows), atol=1e-15, rtol=1e-14)


def test_policy_loss_at_the_sampling_policy_is_reinforce():
    """On policy the gradient is -w * A for each token, whatever the clip range (policy gradient theorem)."""
    weights = torch.rand(3, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    advantages = tensor([[0.5], [-1.0], [2.0]], dtype=DOUBLE)
    logprobs = torch.full((3, 4), -1.0, dtype=DOUBLE, requires_grad=True)
    old = logprobs.detach()
    options = {"clip_low": 0.2, "clip_high": 0.28, "importance_cap": 2.0, "kl_coef": 0.0}
    policy_loss(logprobs, old, old, None, advantages, weights, **options).backward()
    assert_close(logprobs.grad, -weights * advantages, atol=0, rtol=1e-15)


def test_kl_without_reference_logprobs_is_refused():
    zeros = torch.zeros(1, 1)
    with pytest.raises(ValueError, match="needs ref_logprobs_BT"):
        policy_loss(
            zeros, zeros, zeros, None, zeros, zeros, clip_low=0.2, clip_high=0.2, importance_cap=None, kl_coef=0.1
        )
