"""Parity with TRL's GRPOTrainer (1.16), the oracle: same tiny MoE, same adapter, same batch, option by option.

Where the two differ by design, and what the tests therefore set or scale:
- TRL adds the router's balance loss (coefficient 0.001 in this family) although the router is frozen; we have none.
- TRL multiplies the KL term by the ratio by default (`use_bias_correction_kl`, DeepSeek-V3.2); ours is GRPO's eq. 3,
  and theirs with `kl_times_ratio`.
- TRL's entropy bonus is the mean over a microbatch's tokens; ours has the weights of the step: equal with `token`.
- CISPO: TRL's epsilon_high is the bound itself, ours is 1 + clip_high. TRL's LUSPO is our GSPO with `constant`, which
  divides by sampling.max_tokens too.
- A completion without a reward keeps its place in TRL's normaliser, with advantage 0; ours is as if never sampled.
- `bnpo` divides by the tokens of a microbatch. Ours never does: `token` equals `dapo`, and `bnpo` on an uncut batch.
- A group without spread has advantages of exactly 0 here; in TRL what float32 leaves, 1e-3 at worst standardised.
"""

import math
import random
from dataclasses import replace
from functools import partial

import pytest
import torch
from peft import get_peft_model_state_dict
from support.gradients import BARE_GRADIENT, deviation, gradients
from support.oracles.cases import CASES
from support.oracles.trl import MAX_TOKENS, Theirs, forget_accelerate
from support.rollouts import SAMPLING, random_groups
from torch.testing import assert_close

from doubleback.rl.config import OptimConfig, SamplingConfig
from doubleback.rl.learner.batching import assign, make_batch, microbatches
from doubleback.rl.learner.layouts import Padded
from doubleback.rl.learner.learner import Learner
from doubleback.rl.objective.kl import kl_k3
from doubleback.rl.policy.logprobs import token_logprobs

pytestmark = pytest.mark.slow

REWARDS = [[1.1, 0.0, 0.1, 1.0], [0.5, 0.5, 0.5, 0.5], [0.1, 1.1, 0.0, 0.0], [0.3, 0.1, 0.2, 0.7]]
"""The second group is without spread; one completion of each group is cut off."""
ADVANTAGE_BOUND = 1e-6
LOSS_BOUND = GRADIENT_BOUND = 1e-5
"""Relative; for a gradient the largest deviation over the largest entry of the tensor, worst tensor counts."""


@pytest.fixture(autouse=True, scope="module")
def restore_accelerate():
    yield
    forget_accelerate()


def scored_groups(learner, rewards=REWARDS):
    """Random tokens whose sampler is the policy with noise of 0.8 nats: 15 % of the importance weights are capped."""
    rng, groups = random.Random(7), random_groups(rewards, max_tokens=MAX_TOKENS, seed=3)
    sequences = [(group.prompt_ids, c.token_ids) for group in groups for c in group.completions]
    scores = iter(learner.score(sequences))
    return [
        replace(
            group,
            completions=tuple(
                replace(c, sampler_logprobs=tuple(logprob + rng.gauss(0, 0.8) for logprob in next(scores)))
                for c in group.completions
            ),
        )
        for group in groups
    ]


def adapter_of(model):
    return {name: tensor.detach().clone() for name, tensor in get_peft_model_state_dict(model).items()}


class Ours:
    """Advantages, loss and gradients of a learner on `rewards`; `adapter` is the one these gradients were taken at."""

    def __init__(self, make_policy, case, dtype, rewards=REWARDS):
        optim = OptimConfig(lr=1e-2, microbatch_tokens=60, **BARE_GRADIENT)
        learner = Learner(make_policy(dtype=dtype), case.algorithm(), optim, SAMPLING)
        self.settings, self.before = learner.model.peft_config["default"], adapter_of(learner.model)
        groups = scored_groups(learner, rewards)
        self.groups = assign(groups, case.algorithm())
        self.advantages = [value for group in self.groups for value in group.advantages]
        self.batch = make_batch(
            self.groups, case.algorithm(), SamplingConfig(max_tokens=MAX_TOKENS, temperature=case.temperature)
        )
        self.metrics = learner.update(self.batch)
        self.loss, self.gradients, self.adapter = self.metrics["learner/loss"], gradients(learner), self.before
        if case.is_second_update:
            self.adapter = adapter_of(learner.model)
            learner = Learner(make_policy(dtype=dtype), case.algorithm(updates_per_batch=2), optim, SAMPLING)
            self.metrics = learner.update(self.batch)
            self.loss = 2 * self.metrics["learner/loss"] - self.loss
            self.gradients = gradients(learner)


def assert_parity(theirs, ours, scale=1.0):
    """`scale`: what TRL's loss has to be multiplied by where its normaliser is another one."""
    loss, expected = theirs.backward(ours.adapter)
    assert len(expected) == 24
    assert all(tensor.abs().max() > 1e-6 for tensor in expected.values())
    assert ours.loss == pytest.approx(scale * loss, rel=LOSS_BOUND, abs=1e-7)
    assert deviation(ours.gradients, {name: scale * tensor for name, tensor in expected.items()}) < GRADIENT_BOUND


@pytest.fixture
def oracle(tiny_model_folder, tmp_path):
    return partial(Theirs, tiny_model_folder, tmp_path)


PRECISIONS = [
    *((name, "float64") for name in CASES),
    *((name, "float32") for name in ("constant", "token", "sequence", "temperature 0.7", "kl", "importance")),
]
"""In float64 (but for both log-softmaxes) rounding stays below the bound; in float32 only without steep ratios."""


@pytest.mark.parametrize(("name", "dtype"), PRECISIONS)
def test_advantages_loss_and_gradients_equal_trl(make_policy, oracle, name, dtype):
    case = CASES[name]
    ours = Ours(make_policy, case, dtype)
    theirs = oracle(ours, case, dtype)
    assert_close(theirs.advantages, torch.tensor(ours.advantages), atol=ADVANTAGE_BOUND, rtol=ADVANTAGE_BOUND)
    assert_parity(theirs, ours, case.scale)
    if case.ours.get("surrogate") != "sapo":
        clipped = ours.metrics["learner/clip_low"] + ours.metrics["learner/clip_high"]
        assert (clipped > 0.02) == case.is_second_update
    bounded = [ours.metrics.get(f"learner/importance_{name}", math.nan) for name in ("capped", "floored")]
    assert any(share > 0.02 for share in bounded) == case.has_importance
    assert ("dual_clip" in case.ours) == (ours.metrics.get("learner/dual_clip", 0.0) > 0.01)


@pytest.mark.parametrize("name", ["constant", "token", "sequence"])
def test_trl_with_gradient_accumulation_equals_our_uncut_step(make_policy, oracle, name):
    ours = Ours(make_policy, CASES[name], "float64")
    assert_parity(oracle(ours, CASES[name], num_microbatches=2), ours)


def test_bnpo_depends_on_how_the_step_is_cut_and_ours_does_not(make_policy, oracle):
    case = CASES["token as bnpo"]
    ours = Ours(make_policy, case, "float64")
    _, cut = oracle(ours, case, num_microbatches=2).backward(ours.adapter)
    assert deviation(cut, ours.gradients) > 0.01


@pytest.mark.parametrize("name", ["constant", "token", "sequence"])
def test_unjudged_completions_stay_in_trls_normaliser_only(make_policy, oracle, name):
    """The judged ones have equal advantages; the loss differs by the share of the normaliser that is judged."""
    case = CASES[name]
    rewards = [[1.1, None, 0.1, 1.0], [0.5, 0.5, 0.5, 0.5], [None, 1.1, 0.0, None], [None, None, None, 0.7]]
    ours = Ours(make_policy, case, "float64", rewards)
    theirs = oracle(ours, case)
    expected = torch.tensor([value or 0.0 for value in ours.advantages])
    assert_close(theirs.advantages, expected, atol=ADVANTAGE_BOUND, rtol=ADVANTAGE_BOUND)
    is_judged = [value is not None for value in ours.advantages]
    lengths = [len(c.token_ids) for group in ours.groups for c in group.completions]
    judged_lengths = [length for length, judged in zip(lengths, is_judged, strict=True) if judged]
    counts = (sum(lengths), sum(judged_lengths)) if name == "token" else (len(lengths), len(judged_lengths))
    assert_parity(theirs, ours, scale=counts[0] / counts[1])


def test_router_loss_is_on_by_default_in_trl(make_policy, oracle):
    case = CASES["constant"]
    ours = Ours(make_policy, case, "float64")
    theirs = oracle(ours, case, router_aux_loss_coef=None)
    loss, with_router = theirs.backward(ours.adapter)
    (balance,) = theirs.trainer._metrics["train"]["aux_loss"]
    assert loss == pytest.approx(ours.loss + 0.001 * balance, rel=LOSS_BOUND)
    assert deviation(with_router, ours.gradients) > 1e-3


def test_kl_of_trl_is_weighted_by_the_ratio_by_default(make_policy, oracle):
    """On policy the ratio is 1: the same loss, but its gradient has a further kl_coef * k3 per log-probability."""
    case = CASES["kl"]
    ours = Ours(make_policy, case, "float64")
    loss, expected = oracle(ours, case, use_bias_correction_kl=True).backward(ours.adapter)
    assert loss == pytest.approx(ours.loss, rel=LOSS_BOUND)
    assert deviation(ours.gradients, expected) > 0.05
    model = make_policy(dtype="float64")
    (micro,) = microbatches(ours.batch.samples, 10_000, torch.device("cpu"), Padded())

    def logprobs():
        logits = model(input_ids=micro.input_ids_BT, attention_mask=micro.placement.attention_mask_BT).logits
        return token_logprobs(logits, micro.target_ids_BT, case.temperature)[0]

    with torch.no_grad(), model.disable_adapter():
        ref = logprobs()
    current = logprobs()
    (micro.weights_BT * 0.1 * kl_k3(current, ref).detach() * current).sum().backward()
    further = {name: p.grad.double() for name, p in model.named_parameters() if p.requires_grad}
    assert deviation({n: tensor + further[n] for n, tensor in ours.gradients.items()}, expected) < GRADIENT_BOUND


def test_one_step_of_trls_own_loop_moves_the_adapter_by_our_gradient(make_policy, oracle):
    """Through `train` alone: plain SGD at rate 1, so that what the adapter moves by is minus the gradient."""
    case = CASES["constant"]
    ours = Ours(make_policy, case, "float64")
    sgd = {"optim": "sgd", "learning_rate": 1.0, "lr_scheduler_type": "constant", "max_grad_norm": 0.0}
    theirs = oracle(ours, case, num_microbatches=2, max_steps=1, save_strategy="no", disable_tqdm=True, **sgd)
    parameters = {name: p for name, p in theirs.model.named_parameters() if p.requires_grad}
    before = {name: p.detach().clone() for name, p in parameters.items()}
    theirs.trainer.train()
    moved = {name: before[name] - p.detach() for name, p in parameters.items()}
    assert deviation(moved, ours.gradients) < GRADIENT_BOUND
