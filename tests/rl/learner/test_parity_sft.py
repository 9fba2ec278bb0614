"""Parity of `kind: sft` with TRL's SFTTrainer (1.16): same tiny MoE, adapter and batch, prompts learned or not."""

import pytest
from datasets import Dataset
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from support.gradients import BARE_GRADIENT, deviation, gradients
from support.oracles.trl import forget_accelerate
from support.rollouts import make_score

from doubleback.rewards.types import Problem
from doubleback.rl.config import OptimConfig
from doubleback.rl.learner.learner import Learner
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.presets import SFT
from doubleback.rl.policy.base import load_base, load_tokenizer
from doubleback.rl.rollout.given import Given
from doubleback.rl.types import Group, ModelSource, Sampling

pytestmark = pytest.mark.slow

TEXTS = {
    "3 5 7 -> 22": "<think> 3 * 5 = 15 : 15 + 7 = 22 yes </think> <answer> ( 3 * 5 ) + 7 </answer>",
    "1 2 3 -> 6": "<think> 1 + 2 = 3 : 3 + 3 = 6 yes </think>",
    "4 4 9 -> 9": "<think> 4 - 4 no back 9 - 4 = 5 : 5 + 4 = 9 yes </think>",
}
BOUND = 1e-5
"""Relative; for a gradient the largest deviation over the largest entry of the tensor, worst tensor counts."""


@pytest.fixture(autouse=True, scope="module")
def restore_accelerate():
    yield
    forget_accelerate()


def trls(folder, tmp_path, groups, adapter, settings, learn_prompts):
    """Loss and gradients of TRL on the ids of `groups`, the first token of a row being never predicted."""
    from trl import SFTConfig, SFTTrainer  # 10 s that a run without slow tests does not spend

    rows = [(group.prompt_ids, group.completions[0].token_ids) for group in groups]
    data = {
        "input_ids": [[*prompt, *completion] for prompt, completion in rows],
        "completion_mask": [[0] * len(prompt) + [1] * len(completion) for prompt, completion in rows],
    }
    arguments = SFTConfig(
        output_dir=str(tmp_path),
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        per_device_train_batch_size=len(rows),
        completion_only_loss=not learn_prompts,
        max_length=256,
        router_aux_loss_coef=0.0,
    )
    base = load_base(ModelSource(str(folder), "float32", 256))
    trainer = SFTTrainer(
        model=base,
        args=arguments,
        train_dataset=Dataset.from_dict(data),
        processing_class=load_tokenizer(str(folder)),
        peft_config=settings,
    )
    model = trainer.model.train()
    base.set_experts_implementation("eager")
    model.double()
    set_peft_model_state_dict(model, adapter)
    (batch,) = trainer.get_train_dataloader()
    loss = trainer.compute_loss(model, batch)
    loss.backward()
    return loss.item(), {name: p.grad.double() for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("learn_prompts", [False, True])
def test_loss_and_gradients_are_trls(tiny_model_folder, tmp_path, make_policy, learn_prompts):
    problems = [Problem(prompt, prompt) for prompt in TEXTS]
    tokenizer, sampling = load_tokenizer(str(tiny_model_folder)), Sampling(1, temperature=1.0, max_tokens=64)
    given = Given(TEXTS, tokenizer, lambda: 0, learn_prompts).sample(problems, sampling, [0, 0, 0])
    groups = [Group(group.problem, group.prompt_ids, group.completions, (make_score(1.0),)) for group in given]
    optim = OptimConfig(microbatch_tokens=40, **BARE_GRADIENT)
    learner = Learner(make_policy(dtype="float64"), AlgorithmConfig(**SFT), optim, sampling)
    settings = learner.model.peft_config["default"]
    adapter = {name: value.detach().clone() for name, value in get_peft_model_state_dict(learner.model).items()}
    loss = learner.update(learner.batch(groups))["learner/loss"]
    expected_loss, expected = trls(tiny_model_folder, tmp_path, groups, adapter, settings, learn_prompts)
    assert all(tensor.abs().max() > 1e-6 for tensor in expected.values())
    assert loss == pytest.approx(expected_loss, rel=BOUND)
    assert deviation(gradients(learner), expected) < BOUND
