"""What the learner scores: at any temperature, with any parts of the adapter at work, and nothing moves."""

import math
from dataclasses import replace

import pytest
import torch
from support.gradients import completion_logprobs
from support.rollouts import SAMPLING, random_groups
from torch.testing import assert_close

from doubleback.rl.config import OptimConfig
from doubleback.rl.learner.batching import assign, make_batch
from doubleback.rl.learner.learner import ALL_PARTS, Learner
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import load_base
from doubleback.rl.types import ModelSource

REWARDS = [[1.0, 0.0, 0.1, 1.1], [0.5, 0.5, 0.5, 0.5], [0.1, 1.1, None, 0.0], [0.0, 0.0, 0.0, 0.0]]
SAMPLES = make_batch(assign(random_groups(REWARDS), AlgorithmConfig()), AlgorithmConfig(), SAMPLING).samples


def make_learner(model, **optim):
    return Learner(model, AlgorithmConfig(), OptimConfig(**optim), SAMPLING)


@pytest.fixture
def tiny_base(tiny_model_folder):
    return load_base(ModelSource(str(tiny_model_folder), "float32", 256))


def sequences():
    return [(sample.prompt_ids, sample.completion_ids) for sample in SAMPLES]


@torch.no_grad()
def assert_scores(scores, model, temperature, atol):
    for sample, found in zip(SAMPLES, scores, strict=True):
        expected = completion_logprobs(model, sample, temperature=temperature)
        assert_close(torch.tensor(found), expected, atol=atol, rtol=0)


PARTS = {"attention": {"attention"}, "experts": {"experts"}, "both": {"attention", "experts"}, "none": set()}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("microbatch_tokens", [1, 10_000])
def test_score_is_at_temperature_one_with_only_these_parts(make_policy, tiny_base, parts, microbatch_tokens):
    """The other part's B is zero in the model it is compared with; nothing left is the bare base."""
    model, zeroed = make_policy(), make_policy()
    tensors = lora.export(model).tensors
    silent = {f"{target.key}.lora_B.weight" for target in lora.targets(model) if target.part not in parts}
    lora.load(zeroed, {name: torch.zeros_like(t) if name in silent else t for name, t in tensors.items()})
    scores = make_learner(model, microbatch_tokens=microbatch_tokens).score(sequences(), frozenset(parts))
    assert_scores(scores, zeroed if parts else tiny_base, temperature=1.0, atol=2e-5)


def test_score_is_at_the_temperature_asked_for(make_policy, tiny_base):
    scores = make_learner(make_policy()).score(sequences(), frozenset(), temperature=0.7)
    assert_scores(scores, tiny_base, temperature=0.7, atol=3e-5)


def test_score_changes_nothing(make_policy):
    learner = make_learner(make_policy())
    before = learner.adapter().hash
    first = learner.score(sequences())
    learner.score(sequences(), frozenset({"experts"}))
    assert learner.score(sequences(), ALL_PARTS) == first
    assert learner.adapter().hash == before


def served_groups(learner):
    """Groups whose reported log-probabilities are the learner's own."""
    groups = random_groups(REWARDS)
    served = []
    for group in groups:
        scores = learner.score([(group.prompt_ids, completion.token_ids) for completion in group.completions])
        completions = zip(group.completions, scores, strict=True)
        served.append(replace(group, completions=tuple(replace(c, sampler_logprobs=row) for c, row in completions)))
    return served


def with_first_logprob(groups, change):
    """The groups, the first log-probability of the first completion changed."""
    first, *others = groups
    completion, *rest = first.completions
    own, *later = completion.sampler_logprobs
    completion = replace(completion, sampler_logprobs=(change(own), *later))
    return [replace(first, completions=(completion, *rest)), *others]


def test_comparison_with_what_was_reported(make_policy):
    learner = make_learner(make_policy())
    groups = served_groups(learner)
    gap = learner.compare(groups, temperature=1.0).gap
    assert gap.num_tokens == sum(len(completion.token_ids) for group in groups for completion in group.completions)
    assert gap.max_abs < 1e-5
    gap = learner.compare(with_first_logprob(groups, lambda own: own - 0.5), temperature=1.0).gap
    assert gap.max_abs == pytest.approx(0.5, abs=1e-5)
    assert gap.mean_abs == pytest.approx(0.5 / gap.num_tokens, abs=1e-5)
    assert gap.quantile_abs < 1e-5  # one of more than 50 tokens


def test_comparison_with_one_nan_is_nan(make_policy):
    learner = make_learner(make_policy())
    groups = with_first_logprob(served_groups(learner), lambda own: math.nan)
    assert math.isnan(learner.compare(groups, temperature=1.0).gap.quantile_abs)
