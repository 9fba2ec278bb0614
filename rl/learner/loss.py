"""From the settings to the loss of one microbatch: where `AlgorithmConfig` meets the pure functions.

What the loss is made of is computed here once; the step's metrics (`rl.learner.tally`) are sums of the same tensors.
Shapes: B completions, T tokens of prompt + completion.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from doubleback.rl.learner.batching import Microbatch
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.importance import bound_shares
from doubleback.rl.objective.kl import kl_k3, towards_teacher
from doubleback.rl.objective.losses import probability_ratio, weighted_sum


@dataclass(frozen=True, slots=True)
class TokenValues:
    """What the model says of a microbatch's tokens, each (B, T) in nats, 0 outside the loss mask."""

    logprobs_BT: Tensor
    """Of the policy, with gradient."""
    entropy_BT: Tensor
    """Of the policy's next-token distribution, with gradient where the loss has an entropy bonus."""
    old_logprobs_BT: Tensor
    """Of the policy before the step."""
    ref_logprobs_BT: Tensor | None = None
    """With the adapter off. Given exactly where the loss has a KL."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the loss of one microbatch is made of. Nothing but the loss has a gradient.

    For example one completion of two tokens with advantage 1 and weight 1/2 each, whose probabilities have risen by
    ratios of 1.1 and 1.5 since the rollout, clipped at 1.28, where the engine had reported the trainer's own:

        ratio_BT       [[1.1, 1.5]]
        importance_BT  [[1.0, 1.0]]
        loss           1/2 * -1.1 + 1/2 * -1.28 = -1.19
        shares         {"learner/clip_high": [[False, True]], "learner/clip_low": [[False, False]], ...}
    """

    loss: Tensor
    """The microbatch's part of the step's loss, a scalar with gradient."""
    ratio_BT: Tensor
    """Probability under the policy over that before, (B, T) or, of whole completions, (B, 1)."""
    importance_BT: Tensor | None
    """The weight of the policy term, (B, T) or (B, 1). None where none is taken."""
    kl_BT: Tensor | None
    """The k3 estimate of KL(policy || adapter-off reference), whatever the loss takes. None without one."""
    shares: Mapping[str, Tensor]
    """Metric name -> which tokens are clipped, by the surrogate and by the importance weight: (B, T) or (B, 1)."""


def loss_terms(micro: Microbatch, values: TokenValues, algorithm: AlgorithmConfig, entropy_coef: float) -> Terms:
    """The loss of the microbatch, and what it is made of.

    `entropy_coef` is what multiplies the entropy now: algorithm.entropy_coef is only where it starts.
    """
    behind_BT = micro.sampler_logprobs_BT if algorithm.old_logprobs == "sampler" else values.old_logprobs_BT
    ratio_BT = probability_ratio(values.logprobs_BT, behind_BT, micro.loss_mask_BT, algorithm.ratio)
    tensors = {"advantages_B1": _advantages(micro, values, algorithm), "mask_BT": micro.loss_mask_BT}
    surrogate_BT = algorithm.functions.surrogate(ratio_BT=ratio_BT, logprobs_BT=values.logprobs_BT, **tensors)
    importance_BT, importance_shares = _importance(micro, values.old_logprobs_BT, algorithm)
    kl_BT, measured_kl_BT = _kl(values, algorithm) if algorithm.has_kl_loss else (None, None)
    further = []
    if kl_BT is not None:
        further.append((algorithm.kl_coef, ratio_BT * kl_BT if algorithm.kl_times_ratio else kl_BT))
    if algorithm.has_entropy_bonus:
        further.append((-entropy_coef, values.entropy_BT))
    clip_shares = algorithm.functions.clip_shares(
        ratio_BT=ratio_BT.detach(), logprobs_BT=values.logprobs_BT.detach(), **tensors
    )
    return Terms(
        loss=weighted_sum(surrogate_BT, importance_BT, micro.weights_BT, further),
        ratio_BT=ratio_BT.detach(),
        importance_BT=importance_BT,
        kl_BT=measured_kl_BT,
        shares={**clip_shares, **importance_shares},
    )


def _advantages(micro: Microbatch, values: TokenValues, algorithm: AlgorithmConfig) -> Tensor:
    """One a completion, (B, 1); with a teacher one a token, (B, T): the same and what draws it towards the teacher."""
    if micro.teacher_logprobs_BT is None:
        return micro.advantages_B1
    policy_BT, teacher_BT = values.old_logprobs_BT, micro.teacher_logprobs_BT
    return micro.advantages_B1 + towards_teacher(policy_BT, teacher_BT, micro.loss_mask_BT, algorithm.teacher_discount)


def _importance(
    micro: Microbatch, old_logprobs_BT: Tensor, algorithm: AlgorithmConfig
) -> tuple[Tensor | None, dict[str, Tensor]]:
    """The weight of the policy term, and where its ratio is at a bound."""
    floor, cap = algorithm.importance_floor, algorithm.applied_cap
    if cap is None:
        return None, {}
    functions = algorithm.functions
    ratio_BT = functions.importance_ratio(old_logprobs_BT, micro.sampler_logprobs_BT, micro.loss_mask_BT)
    return functions.importance_weight(ratio_BT, floor, cap), bound_shares(ratio_BT, floor, cap)


def _kl(values: TokenValues, algorithm: AlgorithmConfig) -> tuple[Tensor, Tensor]:
    """The KL of the loss with gradient, and its k3 estimate without."""
    if values.ref_logprobs_BT is None:
        raise ValueError(f"kl_coef={algorithm.kl_coef} needs ref_logprobs_BT")
    kl_BT = algorithm.functions.kl(values.logprobs_BT, values.ref_logprobs_BT)
    if algorithm.functions.kl is kl_k3:
        return kl_BT, kl_BT.detach()
    with torch.no_grad():
        return kl_BT, kl_k3(values.logprobs_BT, values.ref_logprobs_BT)
