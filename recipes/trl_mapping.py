"""A recipe in the words of `trl.GRPOConfig`, key by key. What TRL cannot honour is named, with the way out.

Written for TRL 1.16. Importing this imports no TRL.
"""

from collections.abc import Iterator
from typing import Any

from doubleback.recipes.schema import Recipe
from doubleback.rewards.types import ConfigError

LOSSES = {
    ("clipped", "constant"): "dr_grpo",
    ("clipped", "token"): "dapo",
    ("clipped", "sequence"): "grpo",
    ("cispo", "token"): "cispo",
    ("sapo", "sequence"): "sapo",
}
"""(algorithm.surrogate, algorithm.normaliser) -> loss_type."""
SCALES = {"centre": "none", "standardise": "group", "batch_scaled_by_rewards": "batch"}
"""algorithm.advantage -> scale_rewards."""
ONLY: dict[str, Any] = {
    "algorithm.entropy_coef": 0.0,
    "algorithm.entropy_target": None,
    "algorithm.kl_estimator": "k3",
    "algorithm.kl_in": "loss",
    "algorithm.max_rounds": 1,
    "algorithm.routing_replay": False,
    "problems.max_pass_rate": 1.0,
    "problems.min_pass_rate": 0.0,
    "problems.level": None,
    "sampling.stop": [],
}
"""Keys that TRL has no like of: it honours this value alone."""
OURS_ALONE = (
    *(f"algorithm.{key}" for key in ("preset", "importance", "importance_floor", "importance_cap")),
    *(f"algorithm.{key}" for key in ("entropy_delta", "entropy_max", "drop_zero_variance")),
    *(f"optim.{key}" for key in ("microbatch_tokens", "pack", "share_prompts", "logits_mib")),
    *(f"problems.{key}" for key in ("memory", "rest_epochs", "promote_at")),
)
"""Keys without an effect on TRL's result: they change speed alone, belong to a key of `ONLY`, or correct a difference
between sampler and trainer that TRL's generation with transformers does not have."""
MAPPED = (
    *(f"algorithm.{key}" for key in ("advantage", "normaliser", "surrogate", "ratio", "clip_low", "clip_high")),
    *(f"algorithm.{key}" for key in ("dual_clip", "kl_coef", "kl_times_ratio", "sapo_positive", "sapo_negative")),
    *(f"algorithm.{key}" for key in ("mask_truncated", "updates_per_batch")),
    *(f"optim.{key}" for key in ("prompts_per_step", "lr", "warmup_steps", "beta1", "beta2", "weight_decay")),
    *(f"optim.{key}" for key in ("max_grad_norm", "gradient_checkpointing")),
    *(f"sampling.{key}" for key in ("group_size", "temperature", "max_tokens")),
)
"""What `arguments` maps."""


def arguments(recipe: Recipe) -> dict[str, Any]:
    """Keyword arguments of `trl.GRPOConfig`. ConfigError names every key that TRL cannot honour, a line each."""
    if findings := list(_findings(recipe)):
        raise ConfigError("\n".join(findings))
    algorithm, optim, sampling = recipe.algorithm, recipe.optim, recipe.sampling
    return {
        "loss_type": LOSSES[algorithm.surrogate, algorithm.normaliser],
        "scale_rewards": SCALES[algorithm.advantage],
        "importance_sampling_level": algorithm.ratio,
        "epsilon": algorithm.clip_low,
        # Of CISPO it is the bound itself, of the others the distance from 1.
        "epsilon_high": algorithm.clip_high + (1.0 if algorithm.surrogate == "cispo" else 0.0),
        "delta": algorithm.dual_clip,
        "sapo_temperature_pos": algorithm.sapo_positive,
        "sapo_temperature_neg": algorithm.sapo_negative,
        "beta": algorithm.kl_coef,
        "use_bias_correction_kl": algorithm.kl_times_ratio,
        "mask_truncated_completions": algorithm.mask_truncated,
        "num_iterations": algorithm.updates_per_batch,
        "num_generations": sampling.group_size,
        "temperature": sampling.temperature,
        "max_completion_length": sampling.max_tokens,
        # One microbatch a group, one optimiser step a batch of rollouts.
        "per_device_train_batch_size": sampling.group_size,
        "gradient_accumulation_steps": optim.prompts_per_step,
        "learning_rate": optim.lr,
        # Its first step of the warm-up has rate 0, ours lr / (warmup_steps + 1).
        "lr_scheduler_type": "constant_with_warmup",
        "warmup_steps": optim.warmup_steps,
        "optim": "adamw_torch",
        "adam_beta1": optim.beta1,
        "adam_beta2": optim.beta2,
        "weight_decay": optim.weight_decay,
        "max_grad_norm": optim.max_grad_norm,
        "gradient_checkpointing": optim.gradient_checkpointing,
        "max_steps": recipe.steps * algorithm.updates_per_batch,  # TRL counts updates, we count batches
        "seed": recipe.seed,
        "shuffle_dataset": False,  # the order of problems is ours
        "router_aux_loss_coef": 0.0,  # the router is frozen
        "save_strategy": "no",
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "bf16": False,  # else TRL turns it on
    }


def _findings(recipe: Recipe) -> Iterator[str]:
    for path, value in ONLY.items():
        section, key = path.split(".")
        found = getattr(getattr(recipe, section), key)
        if found != value:
            yield f"{path}={found}: trainer=trl has no such thing; set {path}={value} or trainer=doubleback"
    algorithm = recipe.algorithm
    if (algorithm.surrogate, algorithm.normaliser) not in LOSSES:
        known = ", ".join(f"{surrogate} with {normaliser}" for surrogate, normaliser in LOSSES)
        yield (
            f"algorithm.surrogate={algorithm.surrogate} with algorithm.normaliser={algorithm.normaliser}: "
            f"trainer=trl knows {known}"
        )
    if algorithm.surrogate == "cispo" and algorithm.clip_low != 1:
        yield (
            f"algorithm.clip_low={algorithm.clip_low} with algorithm.surrogate=cispo: trainer=trl has no lower bound "
            f"there; set algorithm.clip_low=1"
        )
    if algorithm.advantage not in SCALES:
        yield f"algorithm.advantage={algorithm.advantage}: trainer=trl knows {', '.join(SCALES)}"
    if algorithm.ratio == "sequence_token":
        yield "algorithm.ratio=sequence_token: trainer=trl knows token and sequence"
