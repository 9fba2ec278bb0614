"""Log-probabilities, token weights, ratios and surrogates: each by hand, or against the float64 reference."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.oracles import reference
from torch import tensor
from torch.testing import assert_close

from doubleback.rl.objective.losses import (
    cispo_surrogate,
    clipped_surrogate,
    log_likelihood,
    probability_ratio,
    sapo_surrogate,
    token_weights,
    weighted_sum,
)
from doubleback.rl.policy.logprobs import token_logprobs

DOUBLE = torch.float64
LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(any)


def value_and_slope(surrogate, ratio, advantage, **settings):
    """A surrogate at one ratio, and its derivative by the ratio."""
    ratio = tensor([[ratio]], dtype=DOUBLE, requires_grad=True)
    loss = surrogate(ratio, tensor([[advantage]], dtype=DOUBLE), **settings)
    loss.sum().backward()
    return loss.item(), ratio.grad.item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "slope"),
    [
        (1.0, 1.0, -1.0, -1.0),
        (1.0, -2.0, 2.0, 2.0),
        (1.1, 1.0, -1.1, -1.0),  # within [0.8, 1.28]
        (2.5, 1.0, -1.28, 0.0),  # clipped to 1.28: nothing more to gain
        (2.5, -1.0, 2.5, 1.0),  # pessimistic: the mistake counts in full
        (0.5, 1.0, -0.5, -1.0),  # pessimistic
        (0.5, -1.0, 0.8, 0.0),  # clipped to 0.8
        (2.5, 0.0, 0.0, 0.0),
    ],
)
def test_clipped_surrogate_by_hand(ratio, advantage, expected, slope):
    found = value_and_slope(clipped_surrogate, ratio, advantage, clip_low=0.2, clip_high=0.28)
    assert found == pytest.approx((expected, slope), abs=1e-12)


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "slope"),
    [
        (2.5, -1.0, 2.5, 1.0),  # below the bound: as without it
        (7.0, -2.0, 6.0, 0.0),  # ratio 7 is bounded by 3: 3 * 2
        (7.0, 2.0, -2.56, 0.0),  # a positive advantage is clipped at 1.28 already
        (0.5, -1.0, 0.8, 0.0),
    ],
)
def test_dual_clip_by_hand(ratio, advantage, expected, slope):
    found = value_and_slope(clipped_surrogate, ratio, advantage, clip_low=0.2, clip_high=0.28, dual_clip=3.0)
    assert found == pytest.approx((expected, slope), abs=1e-12)


def test_log_likelihood_by_hand():
    """Advantage 2: -2 * log p of each token; its derivative by log p is -2, whatever the ratio."""
    logprobs = tensor([[-0.5, -3.0]], dtype=DOUBLE, requires_grad=True)
    loss = log_likelihood(logprobs, tensor([[2.0]], dtype=DOUBLE))
    loss.sum().backward()
    assert loss.tolist() == [[1.0, 6.0]]
    assert logprobs.grad.tolist() == [[-2.0, -2.0]]


@pytest.mark.parametrize(
    ("ratio", "advantage", "factor"),
    [
        (1.0, 2.0, 1.0),
        (9.0, 2.0, 5.0),  # clipped to 1 + 4, and the token keeps its gradient
        (9.0, -2.0, 5.0),
        (0.01, 2.0, 0.01),  # clip_low=1: no lower bound
    ],
)
def test_cispo_surrogate_by_hand(ratio, advantage, factor):
    """-factor * A * log-probability; at -3 nats the loss is 3 * factor * A, and the ratio carries no gradient."""
    logprobs = tensor([[-3.0]], dtype=DOUBLE, requires_grad=True)
    ratio = logprobs - logprobs.detach() + ratio
    loss = cispo_surrogate(ratio, logprobs, tensor([[advantage]], dtype=DOUBLE), clip_low=1.0, clip_high=4.0)
    loss.sum().backward()
    assert loss.item() == pytest.approx(3 * factor * advantage, rel=1e-12)
    assert logprobs.grad.item() == pytest.approx(-factor * advantage, rel=1e-12)


def test_cispo_clips_below_where_there_is_a_lower_bound():
    ratio, ones = tensor([[0.1]], dtype=DOUBLE), tensor([[1.0]], dtype=DOUBLE)
    assert cispo_surrogate(ratio, -ones, ones, clip_low=0.25, clip_high=4.0).item() == pytest.approx(0.75, rel=1e-12)


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "slope"),
    [
        # tau 2: -4 / 2 * sigmoid(0) * 3 = -3, slope -4 * 1/4 * 3: at ratio 1 that of the ratio itself
        (1.0, 3.0, -3.0, -3.0),
        # sigmoid(2 * log(3) / 2) = 3/4: -2 * 3/4, slope -4 * 3/4 * 1/4
        (1 + math.log(3) / 2, 1.0, -1.5, -0.75),
        # tau 4 for the negative: -1 * sigmoid(4 * log(3) / 4) * -1 = 3/4, slope 4 * 3/16
        (1 + math.log(3) / 4, -1.0, 0.75, 0.75),
    ],
)
def test_sapo_surrogate_by_hand(ratio, advantage, expected, slope):
    found = value_and_slope(sapo_surrogate, ratio, advantage, sapo_positive=2.0, sapo_negative=4.0)
    assert found == pytest.approx((expected, slope), rel=1e-12)


RATIO_BY_HAND = {
    # log ratios 0.3 and -0.1, mean 0.1; the masked third token counts nowhere
    "token": ([math.exp(0.3), math.exp(-0.1)], [[math.exp(0.3), 0, 0], [0, math.exp(-0.1), 0]]),
    "sequence": ([math.exp(0.1)] * 2, [[math.exp(0.1) / 2, math.exp(0.1) / 2, 0]] * 2),
    "sequence_token": ([math.exp(0.1)] * 2, [[math.exp(0.1), 0, 0], [0, math.exp(0.1), 0]]),
}


@pytest.mark.parametrize("level", RATIO_BY_HAND)
def test_probability_ratio_and_its_gradient_by_hand(level):
    expected, jacobian = RATIO_BY_HAND[level]
    old, mask = tensor([[-1.0, -2.0, -3.0]], dtype=DOUBLE), tensor([[True, True, False]])
    logprobs = (old + tensor([[0.3, -0.1, 5.0]], dtype=DOUBLE)).requires_grad_()
    ratio = probability_ratio(logprobs, old, mask, level).expand(1, 3)
    assert ratio[0, :2].tolist() == pytest.approx(expected, rel=1e-12)
    for column in range(2):
        (slopes,) = torch.autograd.grad(ratio[0, column], logprobs, retain_graph=True)
        assert slopes[0].tolist() == pytest.approx(jacobian[column], rel=1e-12)


def test_unknown_ratio_is_refused():
    with pytest.raises(ValueError, match="ratio='word' is not one of token"):
        probability_ratio(torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1), "word")


def test_weighted_sum_by_hand():
    surrogate, weights = tensor([[2.0, -1.0]], dtype=DOUBLE), tensor([[0.5, 0.25]], dtype=DOUBLE)
    importance, kl, entropy = (tensor([row], dtype=DOUBLE) for row in ([1.5, 0.0], [0.2, 0.4], [3.0, 1.0]))
    assert weighted_sum(surrogate, None, weights).item() == pytest.approx(0.75)
    # 0.5 * (3 + 0.02 - 0.03) + 0.25 * (0 + 0.04 - 0.01)
    found = weighted_sum(surrogate, importance, weights, [(0.1, kl), (-0.01, entropy)]).item()
    assert found == pytest.approx(1.5025, rel=1e-12)


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


def test_entropy_carries_its_gradient_where_a_bonus_asks_for_it():
    """dH / dz_j = -p_j * (log p_j + H); odds of 3 : 1 at temperature 1."""
    logits = tensor([[[math.log(3.0), 0.0]]], requires_grad=True)
    _, entropy = token_logprobs(logits, tensor([[0]]), temperature=1.0, has_entropy_gradient=True)
    entropy.sum().backward()
    value = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    expected = [-0.75 * (math.log(0.75) + value), -0.25 * (math.log(0.25) + value)]
    assert logits.grad[0, 0].tolist() == pytest.approx(expected, abs=1e-6)
    with torch.no_grad():
        assert not token_logprobs(logits, tensor([[0]]), 1.0, has_entropy_gradient=True)[1].requires_grad
