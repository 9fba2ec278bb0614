"""A recipe in the words of `trl.GRPOConfig`, key by key. What TRL cannot honour is named, with the way out.

Written for TRL 1.16. Importing this imports no TRL.
"""

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from doubleback.recipes.recipe.schema import Recipe
from doubleback.rewards.types import ConfigError
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.tables import ADVANTAGES, KL_ESTIMATORS, SURROGATES

LOSSES = {
    (surrogate, normaliser): loss_type
    for surrogate, row in SURROGATES.items()
    if row.trl is not None
    for normaliser, loss_type in row.trl.types.items()
}
"""(algorithm.surrogate, algorithm.normaliser) -> loss_type."""
SCALES = {advantage: row.trl for advantage, row in ADVANTAGES.items() if row.trl is not None}
"""algorithm.advantage -> scale_rewards."""
NONE = "has no such thing"
ONLY: dict[str, tuple[Any, str]] = {
    "algorithm.entropy_coef": (0.0, "averages the entropy by microbatch, not over the step"),
    "algorithm.entropy_target": (None, "averages the entropy by microbatch, not over the step"),
    "kind": ("rl", "imitates by another trainer, SFTTrainer"),
    "rollout.max_rounds": (1, NONE),
    "algorithm.routing_replay": (False, NONE),
    "rollout.ahead": (False, "generates in the same process"),
    "problems.max_pass_rate": (1.0, NONE),
    "problems.min_pass_rate": (0.0, NONE),
    "problems.level": (None, NONE),
    "sampling.stop": ([], "cannot pass it on to its generation"),
    "modes": ({}, NONE),
    "mix": ({}, NONE),
    "scale.cpus": (None, NONE),
    "scale.engines": (None, NONE),
    "scale.gpus": (None, NONE),
    "scale.shards": (1, NONE),
    "scale.trainers": (0, NONE),
}
"""Keys of which TRL honours one value alone: that value, and what TRL does instead."""
NAMED = {
    "algorithm.ratio": "importance_sampling_level",
    "algorithm.clip_low": "epsilon",
    "algorithm.dual_clip": "delta",
    "algorithm.sapo_positive": "sapo_temperature_pos",
    "algorithm.sapo_negative": "sapo_temperature_neg",
    "algorithm.kl_coef": "beta",
    "algorithm.kl_times_ratio": "use_bias_correction_kl",
    "algorithm.mask_truncated": "mask_truncated_completions",
    "algorithm.updates_per_batch": "num_iterations",
    "sampling.group_size": "num_generations",
    "sampling.temperature": "temperature",
    "sampling.max_tokens": "max_completion_length",
    "optim.max_grad_norm": "max_grad_norm",
    "optim.gradient_checkpointing": "gradient_checkpointing",
    "seed": "seed",
}
"""Key -> what TRL calls it, with the same value."""
COMPUTED = (
    *("algorithm.advantage", "algorithm.normaliser", "algorithm.surrogate", "algorithm.clip_high"),
    *("rollout.prompts_per_step", "optim.microbatch_tokens", "steps"),
)
"""Keys from which `arguments` makes TRL's values."""
MAPPED = (*NAMED, *COMPUTED)
GIVEN = (
    *(f"optim.{key}" for key in ("lr", "warmup_steps", "schedule", "beta1", "beta2", "weight_decay")),
    *(f"lora.{key}" for key in ("rank", "expert_rank", "alpha", "init", "targets", "train_router")),
    *(f"engine.{key}" for key in ("name", "kv_cache_mib", "max_num_seqs", "processes", "stall_seconds")),
    *("engine.restarts", "engine.floor"),
    *("checkpoint", "data", "eval", "model", "private", "reward", "sync", "task", "tiny", "trackers"),
)
"""What TRL is given ready-made (problems, reward, model with its adapter, optimiser, rates), or what goes on around it:
evaluation by our engine, checkpoints, trackers. A section stands for all of its keys."""
IDLE = (
    *("description", "name", "tags", "trainer", "algorithm.preset", "memory_share"),
    *(f"algorithm.{key}" for key in ("importance", "importance_floor", "importance_cap", "kl_estimator", "kl_in")),
    *(f"algorithm.{key}" for key in ("old_logprobs", "entropy_delta", "entropy_max", "drop_zero_variance")),
    *(f"optim.{key}" for key in ("pack", "share_prompts", "logits_mib")),
    *(f"problems.{key}" for key in ("memory", "rest_epochs", "promote_at")),
    *(
        "lora.expert_compute",
        "engine.return_routed_experts",
        "scale.stall_seconds",
        "rollout.max_lag",
        "demonstrations",
        "harvest",
        "distil",
        "algorithm.teacher_discount",
    ),
)
"""Keys without an effect on TRL's result: they change speed alone, belong to a key that is off, or correct a difference
between sampler and trainer that TRL's generation with transformers does not have."""


def arguments(recipe: Recipe, longest_prompt: int) -> dict[str, Any]:
    """Keyword arguments of `trl.GRPOConfig`; `longest_prompt` in tokens.

    ConfigError names every key that TRL cannot honour, a line each.
    """
    if findings := list(_findings(recipe)):
        raise ConfigError("\n".join(findings))
    algorithm = recipe.algorithm
    rollouts = recipe.rollout.prompts_per_step * recipe.sampling.group_size
    tokens = longest_prompt + recipe.sampling.max_tokens
    microbatch = largest_divisor(rollouts, recipe.optim.most_tokens // tokens)
    return {
        **{name: attrgetter(path)(recipe) for path, name in NAMED.items()},
        "loss_type": LOSSES[algorithm.surrogate, algorithm.normaliser],
        "scale_rewards": SCALES[algorithm.advantage],
        "epsilon_high": algorithm.clip_high + (1.0 if _is_bound_itself(algorithm) else 0.0),
        # Equal microbatches, one optimiser step a batch of rollouts.
        "per_device_train_batch_size": microbatch,
        "gradient_accumulation_steps": rollouts // microbatch,
        "max_steps": recipe.steps * algorithm.updates_per_batch,  # TRL counts updates, we count batches
        "shuffle_dataset": False,  # the order of problems is ours
        "router_aux_loss_coef": 0.0,  # the router is frozen
        "save_strategy": "no",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # else a loss that is NaN is logged as the mean of those before
        "report_to": "none",
        "disable_tqdm": True,
        "bf16": False,  # else TRL turns it on
    }


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor of `number` that is at most `most`; at least 1."""
    return next((divisor for divisor in range(min(number, most), 0, -1) if number % divisor == 0), 1)


def _is_bound_itself(algorithm: AlgorithmConfig) -> bool:
    """Whether TRL's epsilon_high is the upper bound itself for this surrogate, and not its distance from 1."""
    row = SURROGATES.get(algorithm.surrogate)
    return row is not None and row.trl is not None and row.trl.is_bound_itself


def _findings(recipe: Recipe) -> Iterator[str]:
    for path, (value, instead) in ONLY.items():
        setting = attrgetter(path)(recipe)
        if setting != value:
            yield f"{path}={setting}: trainer=trl {instead}; set {path}={value} or trainer=doubleback"
    algorithm = recipe.algorithm
    if (algorithm.surrogate, algorithm.normaliser) not in LOSSES:
        pairs = ", ".join(f"{surrogate} with {normaliser}" for surrogate, normaliser in LOSSES)
        yield (
            f"algorithm.surrogate={algorithm.surrogate} with algorithm.normaliser={algorithm.normaliser}: "
            f"trainer=trl knows {pairs}"
        )
    if _is_bound_itself(algorithm) and algorithm.clip_low != 1:
        yield (
            f"algorithm.clip_low={algorithm.clip_low} with algorithm.surrogate={algorithm.surrogate}: "
            f"trainer=trl has no lower bound there; set algorithm.clip_low=1"
        )
    if algorithm.advantage not in SCALES:
        yield f"algorithm.advantage={algorithm.advantage}: trainer=trl knows {', '.join(SCALES)}"
    if algorithm.ratio == "sequence_token":
        yield "algorithm.ratio=sequence_token: trainer=trl knows token and sequence"
    estimators = [name for name, row in KL_ESTIMATORS.items() if row.is_trls]
    if algorithm.has_kl_reward or (algorithm.has_kl_loss and algorithm.kl_estimator not in estimators):
        yield (
            f"algorithm.kl_in={algorithm.kl_in} with algorithm.kl_estimator={algorithm.kl_estimator}: trainer=trl "
            f"has {' or '.join(estimators)} in the loss alone; set those or algorithm.kl_coef=0"
        )
    floor, cap = algorithm.importance_floor, algorithm.importance_cap
    if cap is not None and not (floor or 0.0) <= 1.0 <= cap:
        yield (
            f"algorithm.importance_floor={floor} with algorithm.importance_cap={cap}: sampler and trainer are one in "
            f"trainer=trl, the ratio is 1, and these bounds leave it out; take bounds around 1"
        )
