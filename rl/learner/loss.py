"""From the settings to the loss of one microbatch: where `AlgorithmConfig` meets the pure functions. B, T as there."""

from torch import Tensor

from doubleback.rl.learner.batching import Microbatch
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.importance import importance_weights
from doubleback.rl.objective.kl import kl
from doubleback.rl.objective.losses import (
    cispo_surrogate,
    clipped_surrogate,
    probability_ratio,
    sapo_surrogate,
    weighted_sum,
)


def microbatch_loss(
    micro: Microbatch,
    logprobs_BT: Tensor,
    old_logprobs_BT: Tensor,
    ref_logprobs_BT: Tensor | None,
    entropy_BT: Tensor,
    algorithm: AlgorithmConfig,
    entropy_coef: float,
) -> Tensor:
    """The microbatch's part of the step's loss: a scalar. `ref_logprobs_BT` is given exactly where the loss has a KL.

    `entropy_coef` is what multiplies the entropy now: algorithm.entropy_coef is only where it starts.
    """
    ratio_BT = policy_ratio(micro, logprobs_BT, old_logprobs_BT, algorithm)
    kl_BT = None
    if algorithm.has_kl_loss:
        if ref_logprobs_BT is None:
            raise ValueError(f"kl_coef={algorithm.kl_coef} needs ref_logprobs_BT")
        kl_BT = kl(logprobs_BT, ref_logprobs_BT, algorithm.kl_estimator)
        kl_BT = ratio_BT * kl_BT if algorithm.kl_times_ratio else kl_BT
    return weighted_sum(
        _surrogate(ratio_BT, logprobs_BT, micro.advantages_B1, algorithm),
        _importance(micro, old_logprobs_BT, algorithm),
        kl_BT,
        entropy_BT if algorithm.has_entropy_bonus else None,
        micro.weights_BT,
        kl_coef=algorithm.kl_coef,
        entropy_coef=entropy_coef,
    )


def policy_ratio(micro: Microbatch, logprobs_BT: Tensor, old_logprobs_BT: Tensor, algorithm: AlgorithmConfig) -> Tensor:
    """Probability under the policy over that under the one before, as algorithm.old_logprobs and ratio name them."""
    behind_BT = micro.sampler_logprobs_BT if algorithm.old_logprobs == "sampler" else old_logprobs_BT
    return probability_ratio(logprobs_BT, behind_BT, micro.loss_mask_BT, algorithm.ratio)


def _surrogate(ratio_BT: Tensor, logprobs_BT: Tensor, advantages_B1: Tensor, algorithm: AlgorithmConfig) -> Tensor:
    clip = {"clip_low": algorithm.clip_low, "clip_high": algorithm.clip_high}
    match algorithm.surrogate:
        case "clipped":
            return clipped_surrogate(ratio_BT, advantages_B1, **clip, dual_clip=algorithm.dual_clip)
        case "cispo":
            return cispo_surrogate(ratio_BT, logprobs_BT, advantages_B1, **clip)
        case "sapo":
            return sapo_surrogate(
                ratio_BT,
                advantages_B1,
                temperature_positive=algorithm.sapo_positive,
                temperature_negative=algorithm.sapo_negative,
            )


def _importance(micro: Microbatch, old_logprobs_BT: Tensor, algorithm: AlgorithmConfig) -> Tensor | None:
    if algorithm.applied_cap is None:
        return None
    return importance_weights(
        old_logprobs_BT,
        micro.sampler_logprobs_BT,
        micro.loss_mask_BT,
        correction=algorithm.importance,
        floor=algorithm.importance_floor,
        cap=algorithm.applied_cap,
    )
