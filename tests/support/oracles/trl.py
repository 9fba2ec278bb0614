"""TRL's GRPOTrainer as oracle: fed with a fixed batch, asked for its advantages, loss and gradients.

What enters is public: a reward function, and a `rollout_func` that returns the batch. What comes out is taken where
`train` takes it: from `_generate_and_score_completions` and `compute_loss`.
"""

from accelerate.state import AcceleratorState, GradientState, PartialState
from datasets import Dataset
from peft import set_peft_model_state_dict

from doubleback.rl.policy.base import load_base, load_tokenizer
from doubleback.rl.types import ModelSource

MAX_TOKENS = 12
DEFAULTS = {
    "router_aux_loss_coef": 0.0,
    "epsilon": 0.2,
    "epsilon_high": 0.28,
    "vllm_importance_sampling_mode": "token_truncate",
    "vllm_importance_sampling_clip_max": 2.0,
}
"""Ours, where TRL's are others."""


def forget_accelerate():
    """A trainer leaves process-wide state behind."""
    for state in (AcceleratorState, PartialState, GradientState):
        state._reset_state()


class Theirs:
    """A GRPOTrainer whose rollout is the batch of `ours`."""

    def __init__(self, folder, tmp_path, ours, case, dtype="float64", num_microbatches=1, **options):
        from trl import GRPOConfig, GRPOTrainer  # 10 s that a run without slow tests does not spend

        completions = [completion for group in ours.groups for completion in group.completions]
        scores = [item.value for group in ours.groups for item in group.scores]
        rewards = {completion.token_ids: value for completion, value in zip(completions, scores, strict=True)}
        rollout = {
            "prompt_ids": [list(group.prompt_ids) for group in ours.groups for _ in group.completions],
            "completion_ids": [list(completion.token_ids) for completion in completions],
            "logprobs": [list(completion.sampler_logprobs) for completion in completions],
        }
        prompts = [group.problem.prompt for group in ours.groups]
        arguments = GRPOConfig(
            output_dir=str(tmp_path),
            report_to="none",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=len(completions) // num_microbatches,
            gradient_accumulation_steps=num_microbatches,
            num_generations=len(ours.groups[0].completions),
            num_iterations=2 if case.is_second_update else 1,
            max_completion_length=MAX_TOKENS,
            temperature=case.temperature,
            **{**DEFAULTS, **case.theirs, **options},
        )
        base = load_base(ModelSource(str(folder), "float32", 256))
        self.trainer = GRPOTrainer(
            model=base,
            reward_funcs=lambda completion_ids, **_: [rewards[tuple(ids)] for ids in completion_ids],
            args=arguments,
            train_dataset=Dataset.from_dict({"prompt": prompts}),
            processing_class=load_tokenizer(str(folder)),
            peft_config=ours.settings,
            rollout_func=lambda prompts, trainer: rollout,
        )
        self.model = self.trainer.model.train()
        if dtype == "float64":
            base.set_experts_implementation("eager")
            self.model.double()
        set_peft_model_state_dict(self.model, ours.before)
        self.trainer.current_gradient_accumulation_steps = self.num_microbatches = num_microbatches
        if case.has_importance:  # the correction is TRL's own code, only its vLLM is missing
            self.trainer.use_vllm, self.trainer._last_loaded_step = True, self.trainer.state.global_step
        self.inputs = self.trainer._generate_and_score_completions(
            [{"prompt": prompt} for prompt in prompts for _ in range(arguments.num_generations)]
        )
        self.advantages = self.inputs["advantages"]

    def backward(self, adapter):
        """Loss and gradients at `adapter`, summed over the microbatches."""
        set_peft_model_state_dict(self.model, adapter)
        self.model.zero_grad()
        from trl.trainer.utils import split_tensor_dict

        loss = 0.0
        for part in split_tensor_dict(self.inputs, self.num_microbatches):
            part_loss = self.trainer.compute_loss(self.model, part)
            part_loss.backward()
            loss += part_loss.item()
        return loss, {name: p.grad.double() for name, p in self.model.named_parameters() if p.requires_grad}
