"""The whole loss of a microbatch against the float64 reference, for every variant, and what variants have in common."""

import math
import random
from dataclasses import asdict, replace

import pytest
import torch
from support.oracles import reference
from torch import tensor
from torch.nn.utils.rnn import pad_sequence
from torch.testing import assert_close

from doubleback.rl.learner.batching import Microbatch
from doubleback.rl.learner.layouts import Rectangle
from doubleback.rl.learner.loss import TokenValues, loss_terms
from doubleback.rl.objective.config import AlgorithmConfig

DOUBLE = torch.float64


def random_rows(seed, num_rows=6, num_columns=9):
    """Ragged rows with ratios and importance weights on both sides of every bound."""
    rng = random.Random(seed)
    rows = []
    for row in range(num_rows):
        advantage, weight = rng.choice([-1.3, -0.4, 0.0, 0.6, 1.9]), rng.uniform(0.01, 0.3)
        tokens = []
        for _ in range(num_columns - row):
            old = -3 * rng.random()
            logprob, sampler, ref = (old + rng.gauss(0, spread) for spread in (0.4, 0.8, 0.6))
            tokens.append(reference.Token(logprob, old, sampler, ref, advantage, weight))
        rows.append(tokens)
    return rows


def padded(rows, name):
    """(B, T); the padding is what nothing may read."""
    columns = [tensor([getattr(token, name) for token in row], dtype=DOUBLE) for row in rows]
    return pad_sequence(columns, batch_first=True, padding_value=0.0 if name == "weight" else -7.7)


def micro_of(rows):
    nothing = torch.zeros(0)
    return Microbatch(
        input_ids_BT=nothing,
        target_ids_BT=nothing,
        loss_mask_BT=padded(rows, "weight") != 0,
        sampler_logprobs_BT=padded(rows, "sampler"),
        advantages_B1=padded(rows, "advantage")[:, :1],
        weights_BT=padded(rows, "weight"),
        rows=tuple(range(len(rows))),
        placement=Rectangle(nothing),
    )


def loss_of(rows, options, logprobs=None, entropy=None, **settings):
    """The loss of `loss_terms`; `logprobs` stands for those of the rows where a gradient is wanted."""
    micro = micro_of(rows)
    algorithm = AlgorithmConfig(**asdict(options) | settings)
    values = TokenValues(
        padded(rows, "logprob") if logprobs is None else logprobs,
        torch.zeros_like(micro.weights_BT) if entropy is None else entropy,
        padded(rows, "old"),
        padded(rows, "ref") if algorithm.has_kl_loss else None,
    )
    return loss_terms(micro, values, algorithm, algorithm.entropy_coef).loss


def gradient_of(rows, options):
    """Rows of slopes, without the padding."""
    logprobs = padded(rows, "logprob").requires_grad_()
    loss_of(rows, options, logprobs).backward()
    return [row[: len(tokens)].tolist() for row, tokens in zip(logprobs.grad, rows, strict=True)]


OPTIONS = {
    "default": {},
    "symmetric clip": {"clip_high": 0.2},
    "no clip above": {"clip_low": 0.99, "clip_high": 1e9},
    "tight clip": {"clip_low": 0.0, "clip_high": 0.0},
    "dual clip": {"dual_clip": 1.3},
    "no importance": {"importance_cap": None},
    "low cap": {"importance_cap": 0.5},
    "floor and cap": {"importance_floor": 0.7, "importance_cap": 1.4},
    "token mask": {"importance": "token_mask"},
    "icepop": {"importance": "token_mask", "importance_floor": 0.5, "importance_cap": 5.0},
    "sequence truncate": {"importance": "sequence_truncate"},
    "sequence mask": {"importance": "sequence_mask", "importance_floor": 0.2, "importance_cap": 3.0},
    "geometric mask": {"importance": "geometric_mask", "importance_floor": 0.8, "importance_cap": 1.3},
    "to the sampler": {"old_logprobs": "sampler"},
    "to the sampler, gspo": {"old_logprobs": "sampler", "ratio": "sequence", "clip_low": 0.05, "clip_high": 0.1},
    "to the sampler, cispo": {"old_logprobs": "sampler", "surrogate": "cispo"},
    "kl": {"kl_coef": 0.1},
    "kl, no importance": {"kl_coef": 1.7, "importance_cap": None},
    "kl k2": {"kl_coef": 0.3, "kl_estimator": "k2"},
    "kl times ratio": {"kl_coef": 0.3, "kl_times_ratio": True},
    "kl k1 times ratio": {"kl_coef": 0.3, "kl_estimator": "k1", "kl_times_ratio": True},
    "gspo": {"ratio": "sequence", "clip_low": 0.05, "clip_high": 0.1},
    "gspo, dual clip": {"ratio": "sequence", "clip_low": 0.05, "clip_high": 0.02, "dual_clip": 1.1},
    "gspo, kl times ratio": {"ratio": "sequence", "kl_coef": 0.3, "kl_times_ratio": True},
    "gspo token": {"ratio": "sequence_token", "clip_low": 0.05, "clip_high": 0.1},
    "gspo token, kl times ratio": {"ratio": "sequence_token", "kl_coef": 0.3, "kl_times_ratio": True},
    "gspo token, sequence mask": {"ratio": "sequence_token", "importance": "sequence_mask"},
    "cispo": {"surrogate": "cispo", "clip_low": 1.0, "clip_high": 0.3},
    "cispo, two bounds, kl": {"surrogate": "cispo", "kl_coef": 0.1},
    "cispo, sequence": {"surrogate": "cispo", "ratio": "sequence", "clip_low": 0.05, "clip_high": 0.1},
    "sapo": {"surrogate": "sapo"},
    "sapo, steep": {"surrogate": "sapo", "sapo_positive": 3.0, "sapo_negative": 7.0, "importance_cap": None},
    "sapo, sequence": {"surrogate": "sapo", "ratio": "sequence"},
    "sapo, sequence token": {"surrogate": "sapo", "ratio": "sequence_token", "kl_coef": 0.1},
}
EVERY = pytest.mark.parametrize(
    "options", [reference.Options(**options) for options in OPTIONS.values()], ids=list(OPTIONS)
)


@EVERY
@pytest.mark.parametrize("seed", range(4))
def test_loss_and_gradient_agree_with_the_reference(seed, options):
    rows = random_rows(seed)
    assert loss_of(rows, options).item() == pytest.approx(reference.loss(rows, options), rel=1e-12, abs=1e-14)
    for found, expected in zip(gradient_of(rows, options), reference.gradient(rows, options), strict=True):
        assert found == pytest.approx(expected, rel=1e-11, abs=1e-14)


@EVERY
def test_reference_gradient_is_that_of_its_own_loss(options):
    """By differences, with what the equations detach held still."""
    step = 1e-6
    for row in random_rows(seed=9):
        (expected,) = reference.gradient([row], options)
        for column, token in enumerate(row):

            def loss_at(shift, row=row, column=column, token=token):
                moved = [*row[:column], replace(token, logprob=token.logprob + shift), *row[column + 1 :]]
                return reference.loss([moved], options, detached=[row])

            slope = (loss_at(step) - loss_at(-step)) / (2 * step)
            assert slope == pytest.approx(expected[column], rel=1e-6, abs=1e-9)


def test_variants_differ():
    """Otherwise the cases above would prove one thing many times."""
    rows = [row for seed in range(4) for row in random_rows(seed)]
    gradients = [str(gradient_of(rows, reference.Options(**case))) for case in OPTIONS.values()]
    assert len(set(gradients)) == len(OPTIONS)


@EVERY
def test_loss_of_the_parts_sums_to_the_whole(options):
    rows = random_rows(seed=5)
    parts = [loss_of(part, options) for part in (rows[:1], rows[1:4], rows[4:])]
    assert_close(sum(parts), loss_of(rows, options), atol=1e-15, rtol=1e-13)


@EVERY
def test_loss_follows_a_permutation_of_rows(options):
    rows = random_rows(seed=6)
    order = [3, 0, 5, 1, 4, 2]
    permuted = gradient_of([rows[index] for index in order], options)
    expected = gradient_of(rows, options)
    assert permuted == [pytest.approx(expected[index], rel=1e-12, abs=1e-15) for index in order]


ON_POLICY = {name: case for name, case in OPTIONS.items() if not case.get("kl_coef")}


@pytest.mark.parametrize("name", ON_POLICY)
def test_loss_at_the_sampling_policy_is_reinforce(name):
    """On policy the gradient is -w * A for each token, whatever the variant (policy gradient theorem)."""
    case = ON_POLICY[name] | ({"importance_cap": 2.0} if name == "low cap" else {})
    rows = [[replace(token, logprob=-1.0, old=-1.0, sampler=-1.0) for token in row] for row in random_rows(seed=3)]
    for found, row in zip(gradient_of(rows, reference.Options(**case)), rows, strict=True):
        assert found == pytest.approx([-token.weight * token.advantage for token in row], rel=1e-12)


def test_gspo_and_gspo_token_have_one_gradient_without_token_weights():
    """arXiv:2507.18071, section 4.3: equal where all tokens of a completion share advantage and weight."""
    rows = random_rows(seed=8)
    for importance in ({"importance_cap": None}, {"importance": "sequence_truncate"}):
        sequence, token = (reference.Options(ratio=ratio, **importance) for ratio in ("sequence", "sequence_token"))
        for found, expected in zip(gradient_of(rows, sequence), gradient_of(rows, token), strict=True):
            assert found == pytest.approx(expected, rel=1e-11, abs=1e-15)


def test_entropy_bonus_has_the_weights_of_the_step():
    rows = random_rows(seed=2)
    entropy = torch.rand(6, 9, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)).requires_grad_()
    options = reference.Options()
    with_bonus = loss_of(rows, options, entropy=entropy, entropy_coef=0.03)
    expected = loss_of(rows, options) - 0.03 * (padded(rows, "weight") * entropy).sum()
    assert_close(with_bonus, expected, atol=1e-15, rtol=1e-13)
    with_bonus.backward()
    assert_close(entropy.grad, -0.03 * padded(rows, "weight"), atol=1e-15, rtol=1e-13)


def test_terms_are_those_of_the_worked_example():
    """As in the docstring of `Terms`, but for an importance of 1.6 on the first token, capped at 1.5."""
    tokens = [reference.Token(math.log(1.1), 0.0, -math.log(1.6), -0.5, 1.0, 0.5)]
    tokens += [reference.Token(math.log(1.5), 0.0, 0.0, -0.5, 1.0, 0.5)]
    micro = micro_of([tokens])
    values = TokenValues(*(padded([tokens], name) for name in ("logprob", "weight", "old", "ref")))
    terms = loss_terms(micro, values, AlgorithmConfig(kl_coef=0.1, kl_estimator="k2", importance_cap=1.5), 0.0)
    assert terms.ratio_BT.tolist() == [pytest.approx([1.1, 1.5])]
    assert terms.importance_BT.tolist() == [pytest.approx([1.5, 1.0])]
    k2 = [(math.log(ratio) + 0.5) ** 2 / 2 for ratio in (1.1, 1.5)]
    assert terms.loss.item() == pytest.approx(0.5 * (-1.1 * 1.5 + 0.1 * k2[0]) + 0.5 * (-1.28 + 0.1 * k2[1]), rel=1e-12)
    differences = [-0.5 - math.log(ratio) for ratio in (1.1, 1.5)]
    assert terms.kl_BT.tolist() == [pytest.approx([math.exp(d) - d - 1 for d in differences], rel=1e-12)]
    assert {name: where.tolist() for name, where in terms.shares.items()} == {
        "learner/clip_low": [[False, False]],
        "learner/clip_high": [[False, True]],
        "learner/importance_capped": [[True, False]],
    }


def test_kl_without_reference_logprobs_is_refused():
    zeros = torch.zeros(6, 9)
    with pytest.raises(ValueError, match="needs ref_logprobs_BT"):
        loss_terms(micro_of(random_rows(seed=0)), TokenValues(zeros, zeros, zeros), AlgorithmConfig(kl_coef=0.1), 0.0)
