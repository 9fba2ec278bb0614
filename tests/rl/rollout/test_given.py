"""Given completions in the place of samples: what they are made of, and what a step on them is."""

import math

import pytest
import torch
from support.gradients import BARE_GRADIENT, completion_logits
from support.rollouts import make_score
from transformers import PreTrainedTokenizerFast

from doubleback.rewards.types import ConfigError, Problem
from doubleback.rl.config import OptimConfig
from doubleback.rl.learner.learner import Learner
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.presets import SFT
from doubleback.rl.policy.base import load_tokenizer
from doubleback.rl.rollout.given import GIVEN, Given, encode_given
from doubleback.rl.types import Group, Sampling

PROBLEM = Problem("p", "3 5 7 -> 22")
TEXT = "<think> 3 * 5 = 15 : 15 + 7 = 22 yes </think>"
TEMPERATURE_1 = Sampling(1, temperature=1.0, max_tokens=64)


@pytest.fixture(scope="module")
def tokenizer(tiny_model_folder):
    return load_tokenizer(str(tiny_model_folder))


def test_prompt_and_completion_are_encoded_apart_and_the_end_is_learned(tokenizer):
    prompt, completion = encode_given(PROBLEM, TEXT, tokenizer)
    assert prompt == tuple(tokenizer(PROBLEM.prompt)["input_ids"])
    assert completion[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(completion[:-1]) == TEXT
    first, rest = encode_given(PROBLEM, TEXT, tokenizer, learn_prompts=True)
    assert (first, rest) == (prompt[:1], (*prompt[1:], *completion))


def test_what_the_vocabulary_has_no_words_for_is_one_line(tokenizer):
    with pytest.raises(ConfigError, match="problem p: the model's tokenizer cannot read the completion 'Why"):
        encode_given(PROBLEM, "Why not?", tokenizer)
    with pytest.raises(ConfigError, match="no end-of-sequence token"):
        encode_given(PROBLEM, TEXT, PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer))


def test_each_problem_is_a_group_of_one_that_nobody_sampled(tokenizer):
    other = Problem("q", "1 2 3 -> 6")
    finished = []
    given = Given({"p": TEXT, "q": "<think> no </think>"}, tokenizer, version=lambda: 4)
    groups = given.sample([other, PROBLEM], TEMPERATURE_1, [8, 9], on_group=lambda *pair: finished.append(pair))
    assert [(group.problem.id, group.completions[0].text) for group in groups] == [
        ("q", "<think> no </think>"),
        ("p", TEXT),
    ]
    assert finished == list(enumerate(groups))
    (completion,) = groups[1].completions
    assert (completion.policy_version, completion.adapter_hash, completion.seed) == (4, GIVEN, 9)
    assert (completion.sampler_logprobs, completion.is_truncated) == ((), False)


@pytest.mark.parametrize("score", [1.0, 0.0])
def test_a_step_is_the_mean_cross_entropy_of_all_given_tokens(make_policy, tokenizer, score):
    """Whatever the reward says. In float64, by hand: sum of -log p over both completions, over their 24 tokens."""
    texts = {"p": TEXT, "q": "<think> 1 + 2 = 3 : 3 + 3 = 6 yes </think>"}
    problems = [PROBLEM, Problem("q", "1 2 3 -> 6")]
    groups = [
        Group(group.problem, group.prompt_ids, group.completions, (make_score(score),))
        for group in Given(texts, tokenizer, lambda: 0).sample(problems, TEMPERATURE_1, [0, 0])
    ]
    model = make_policy(dtype="float64")
    learner = Learner(model, AlgorithmConfig(**SFT), OptimConfig(microbatch_tokens=32, **BARE_GRADIENT), TEMPERATURE_1)
    batch = learner.batch(groups)
    losses = []
    for sample in batch.samples:
        logits_TV = completion_logits(model, sample, temperature=1.0)
        targets_T = torch.tensor(sample.completion_ids)
        losses.append(torch.nn.functional.cross_entropy(logits_TV.double(), targets_T, reduction="none"))
    expected = torch.cat(losses)
    metrics = learner.update(batch)
    assert metrics["learner/loss"] == pytest.approx(float(expected.mean().detach()), rel=1e-6)
    assert metrics["learner/tokens"] == len(expected) == sum(len(sample.completion_ids) for sample in batch.samples)
    for name in ("gap/mean_abs", "gap/max_abs", "gap/k3", "learner/clip_high"):
        assert math.isnan(metrics[name])
