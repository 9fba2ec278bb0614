"""From the settings to the loss of one microbatch: where `AlgorithmConfig` meets the pure functions. B, T as there."""

from torch import Tensor

from doubleback.rl.learner.batching import Microbatch
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.losses import probability_ratio, weighted_sum


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
    functions = algorithm.functions
    surrogate_BT = functions.surrogate(
        ratio_BT=ratio_BT, logprobs_BT=logprobs_BT, advantages_B1=micro.advantages_B1, mask_BT=micro.loss_mask_BT
    )
    further = []
    if algorithm.has_kl_loss:
        if ref_logprobs_BT is None:
            raise ValueError(f"kl_coef={algorithm.kl_coef} needs ref_logprobs_BT")
        kl_BT = functions.kl(logprobs_BT, ref_logprobs_BT)
        further.append((algorithm.kl_coef, ratio_BT * kl_BT if algorithm.kl_times_ratio else kl_BT))
    if algorithm.has_entropy_bonus:
        further.append((-entropy_coef, entropy_BT))
    return weighted_sum(surrogate_BT, _importance(micro, old_logprobs_BT, algorithm), micro.weights_BT, further)


def policy_ratio(micro: Microbatch, logprobs_BT: Tensor, old_logprobs_BT: Tensor, algorithm: AlgorithmConfig) -> Tensor:
    """Probability under the policy over that under the one before, as algorithm.old_logprobs and ratio name them."""
    behind_BT = micro.sampler_logprobs_BT if algorithm.old_logprobs == "sampler" else old_logprobs_BT
    return probability_ratio(logprobs_BT, behind_BT, micro.loss_mask_BT, algorithm.ratio)


def _importance(micro: Microbatch, old_logprobs_BT: Tensor, algorithm: AlgorithmConfig) -> Tensor | None:
    if algorithm.applied_cap is None:
        return None
    functions = algorithm.functions
    ratio = functions.importance_ratio(old_logprobs_BT, micro.sampler_logprobs_BT, micro.loss_mask_BT)
    return functions.importance_weight(ratio, algorithm.importance_floor, algorithm.applied_cap)
