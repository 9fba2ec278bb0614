"""Parity with TRL's RLOOTrainer (1.16): leave-one-out advantages with the KL in the reward, and the on-policy gradient.

Where the two differ by design:
- TRL's loss is a sum over the completion, ours is divided by sampling.max_tokens too: a constant.
- TRL takes the KL at the trainer's log-probabilities, we at the sampler's; here the sampler is the trainer.
- TRL's ratio is the product over the completion. On policy it is 1, and so is its gradient's; after that ours differs.
"""

import itertools
from dataclasses import replace
from functools import partial

import pytest
import torch
from datasets import Dataset
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from support.gradients import BARE_GRADIENT, deviation, gradients
from support.oracles.trl import MAX_TOKENS, forget_accelerate
from support.rollouts import SAMPLING, random_groups
from torch.testing import assert_close

from doubleback.rl.config import OptimConfig, SamplingConfig
from doubleback.rl.learner.batching import assign, make_batch
from doubleback.rl.learner.learner import Learner
from doubleback.rl.learner.penalty import penalise
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy.base import load_base, load_tokenizer
from doubleback.rl.types import ModelSource

pytestmark = pytest.mark.slow

REWARDS = [[1.1, 0.0, 0.1, 1.0], [0.5, 0.5, 0.5, 0.5], [0.1, 1.1, 0.0, 0.0], [0.3, 0.1, 0.2, 0.7]]


@pytest.fixture(autouse=True, scope="module")
def restore_accelerate():
    yield
    forget_accelerate()


def make_trainer(folder, tmp_path, groups, settings, adapter, beta):
    """An RLOOTrainer in double whose rollout is `groups`."""
    from trl import RLOOConfig, RLOOTrainer  # 10 s that a run without slow tests does not spend

    completions = [list(item.token_ids) for group in groups for item in group.completions]
    prompts = [group.problem.prompt for group in groups]
    rewards = {tuple(ids): value for ids, value in zip(completions, itertools.chain(*REWARDS), strict=True)}
    base = load_base(ModelSource(str(folder), "float32", 256))
    trainer = RLOOTrainer(
        model=base,
        reward_funcs=lambda completion_ids, **_: [rewards[tuple(ids)] for ids in completion_ids],
        args=RLOOConfig(
            output_dir=str(tmp_path),
            report_to="none",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=len(completions),
            num_generations=len(REWARDS[0]),
            max_completion_length=MAX_TOKENS,
            router_aux_loss_coef=0.0,
            beta=beta,
        ),
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        processing_class=load_tokenizer(str(folder)),
        peft_config=settings,
    )
    base.set_experts_implementation("eager")
    set_peft_model_state_dict(trainer.model.train().double(), adapter)
    prompt_ids = [list(group.prompt_ids) for group in groups for _ in group.completions]
    trainer._generate = lambda prompts: (prompt_ids, completions, [""] * len(completions))
    return trainer, [{"prompt": prompt} for prompt in prompts for _ in REWARDS[0]]


@pytest.mark.parametrize("kl_coef", [0.0, 0.1])
def test_advantages_and_gradient_equal_trl(make_policy, tiny_model_folder, tmp_path, kl_coef):
    algorithm = AlgorithmConfig(preset="rloo", kl_coef=kl_coef, importance_cap=None)
    learner = Learner(make_policy(dtype="float64"), algorithm, OptimConfig(**BARE_GRADIENT), SAMPLING)
    groups = random_groups(REWARDS, max_tokens=MAX_TOKENS, seed=3)
    scores = iter(learner.score([(group.prompt_ids, c.token_ids) for group in groups for c in group.completions]))
    groups = [
        replace(group, completions=tuple(replace(c, sampler_logprobs=next(scores)) for c in group.completions))
        for group in groups
    ]
    groups = assign(penalise(groups, partial(learner.score, parts=frozenset()), algorithm), algorithm)
    adapter = {name: tensor.clone() for name, tensor in get_peft_model_state_dict(learner.model).items()}
    settings = learner.model.peft_config["default"]
    trainer, inputs = make_trainer(tiny_model_folder, tmp_path, groups, settings, adapter, kl_coef)
    theirs = trainer._generate_and_score_completions(inputs)
    ours = torch.tensor([value for group in groups for value in group.advantages])
    assert_close(theirs["advantages"], ours, atol=2e-6, rtol=2e-6)
    trainer.compute_loss(trainer.model, theirs).backward()
    expected = {name: p.grad.double() for name, p in trainer.model.named_parameters() if p.requires_grad}
    learner.update(make_batch(groups, algorithm, SamplingConfig(max_tokens=MAX_TOKENS)))
    scaled = {name: MAX_TOKENS * tensor for name, tensor in gradients(learner).items()}
    assert deviation(scaled, expected) < 1e-5
