"""The loss, as pure functions. Shapes: B completions, T completion tokens, V vocabulary.

What is minimised, with w the weights of `token_weights` and everything else per token:

    sum_BT  w * ( importance * surrogate  +  kl_coef * kl  -  entropy_coef * entropy )

importance is of `rl.objective.importance`, kl of `rl.objective.kl`, surrogate one of the functions here on a ratio of
`probability_ratio`. The default surrogate is - min(ratio * A, clip(ratio, 1 - clip_low, 1 + clip_high) * A).

Departures from DeepSeekMath (arXiv:2402.03300, eq. 3): two clip ranges (DAPO), an importance weight between trainer and
sampler, and weights that are fixed over the whole step.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def token_weights(lengths_B: Sequence[int], normaliser: str, max_tokens: int) -> list[float]:
    """Weight of one token of each completion, over the whole step. Length 0 marks a completion left out of the loss.

    constant: 1 / (B * max_tokens)      Dr. GRPO, arXiv:2503.20783: no bias towards short wrong answers
    token:    1 / sum of lengths        DAPO, arXiv:2503.14476, eq. 8: every token counts the same
    sequence: 1 / (B * length)          GRPO, arXiv:2402.03300, eq. 3: every completion counts the same

    B counts every completion given here, also those without advantage, so that leaving zero-variance groups out of the
    forward pass changes nothing. For example lengths 4, 0, 2 and 10 of at most 10:

        constant  1/40  1/40  1/40  1/40     the longest weighs 10/40, the shortest 2/40
        token     1/16  1/16  1/16  1/16     4 + 2 + 10 = 16 tokens; the sum of all weights is 1
        sequence  1/16  1/4   1/8   1/40     each completion weighs 1/4, the masked one nothing: it has no token
    """
    num_completions, num_tokens = len(lengths_B), sum(lengths_B)
    match normaliser:
        case "constant":
            return [1.0 / (num_completions * max_tokens) for _ in lengths_B]
        case "token":
            return [1.0 / max(num_tokens, 1)] * num_completions
        case "sequence":
            return [1.0 / (num_completions * max(length, 1)) for length in lengths_B]
    raise ValueError(f"normaliser={normaliser!r} is not one of constant, token, sequence")


def probability_ratio(logprobs_BT: Tensor, old_logprobs_BT: Tensor, mask_BT: Tensor, level: str) -> Tensor:
    """Probability under the policy over that before the step.

    token:          of each token, (B, T) (PPO, arXiv:1707.06347)
    sequence:       of the completion, to the power 1 / length, (B, 1) (GSPO, arXiv:2507.18071, eq. 7)
    sequence_token: the same value for each token, (B, T), the gradient that of the token alone (GSPO-token, eq. 14)
    """
    log_ratio_BT = logprobs_BT - old_logprobs_BT
    if level == "token":
        return log_ratio_BT.exp()
    # The mean of the logarithms: a product to the power 1 / length. Without a token it is 0, a ratio of 1.
    log_ratio_B1 = (log_ratio_BT * mask_BT).sum(-1, keepdim=True) / mask_BT.sum(-1, keepdim=True).clamp(min=1)
    if level == "sequence":
        return log_ratio_B1.exp()
    if level == "sequence_token":
        # The last two cancel in value; what is left of them is the gradient of each token's own log-probability.
        return (log_ratio_B1.detach() + logprobs_BT - logprobs_BT.detach()).exp()
    raise ValueError(f"ratio={level!r} is not one of token, sequence, sequence_token")


def clipped_surrogate(
    ratio_BT: Tensor, advantages_B1: Tensor, *, clip_low: float, clip_high: float, dual_clip: float | None = None
) -> Tensor:
    """Loss -min(ratio * A, clipped ratio * A) (PPO, arXiv:1707.06347, eq. 7; two ranges as DAPO, arXiv:2503.14476).

    `dual_clip` c bounds it for negative advantages: at most c * |A|, without gradient beyond (dual-clip PPO,
    arXiv:1912.09729, max(min(...), c * A); "two-sided clipping" in INTELLECT-2, arXiv:2505.07291, and TRL's delta).
    """
    clipped_BT = ratio_BT.clamp(1 - clip_low, 1 + clip_high)
    # The minimum takes the clipped value where it promises less: above for A > 0, below for A < 0. It has no gradient.
    loss_BT = -torch.minimum(ratio_BT * advantages_B1, clipped_BT * advantages_B1)
    if dual_clip is None:
        return loss_BT
    # For A < 0 the loss is ratio * |A|, which a ratio of 100 would let rule the step: never more than c * |A|.
    return torch.where(advantages_B1 < 0, torch.minimum(loss_BT, -dual_clip * advantages_B1), loss_BT)


def cispo_surrogate(
    ratio_BT: Tensor, logprobs_BT: Tensor, advantages_B1: Tensor, *, clip_low: float, clip_high: float
) -> Tensor:
    """Loss -clip(ratio) * A * log-probability, the clipped ratio without gradient (CISPO, arXiv:2506.13585, eq. 4).

    Every token keeps a gradient, however far its ratio. The paper tunes the upper bound alone; clip_low=1 is no lower
    bound. TRL's epsilon_high is our 1 + clip_high.
    """
    return -ratio_BT.detach().clamp(1 - clip_low, 1 + clip_high) * advantages_B1 * logprobs_BT


def sapo_surrogate(ratio_BT: Tensor, advantages_B1: Tensor, *, sapo_positive: float, sapo_negative: float) -> Tensor:
    """Loss -4 / tau * sigmoid(tau * (ratio - 1)) * A: a soft gate for a clip (SAPO, arXiv:2511.20347).

    tau is sapo_positive where A > 0, else sapo_negative. At ratio 1 the gradient is that of the ratio.
    """
    tau_B1 = torch.full_like(advantages_B1, sapo_negative).where(advantages_B1 <= 0, sapo_positive)
    return -4 / tau_B1 * torch.sigmoid(tau_B1 * (ratio_BT - 1)) * advantages_B1


def log_likelihood(logprobs_BT: Tensor, advantages_B1: Tensor) -> Tensor:
    """Loss -A * log-probability: with advantages of 1 and normaliser=token the cross-entropy of supervised fine-tuning,
    and with those of a group REINFORCE (Williams 1992). No ratio, so nothing bounds how far a step goes.
    """
    return -advantages_B1 * logprobs_BT


def clip_shares(
    ratio_BT: Tensor, advantages_B1: Tensor, *, clip_low: float, clip_high: float, dual_clip: float | None = None
) -> dict[str, Tensor]:
    """Metric name -> which tokens a clip holds: those whose ratio is past a bound in the direction of the advantage."""
    shares = {
        "learner/clip_low": (ratio_BT < 1 - clip_low) & (advantages_B1 < 0),
        "learner/clip_high": (ratio_BT > 1 + clip_high) & (advantages_B1 > 0),
    }
    if dual_clip is not None:
        shares["learner/dual_clip"] = (ratio_BT > dual_clip) & (advantages_B1 < 0)
    return shares


def weighted_sum(
    surrogate_BT: Tensor,
    importance_BT: Tensor | None,
    weights_BT: Tensor,
    further: Sequence[tuple[float, Tensor]] = (),
) -> Tensor:
    """The step's loss as in the head of this file: a scalar, summed over the tokens given (weights 0 where masked).

    `further`: (coefficient, values) of the other terms: kl_coef with the KL, -entropy_coef with the entropy. They have
    the weights of the policy term: TRL's entropy bonus has always those of normaliser=token. Sums of microbatches equal
    the whole. `importance_BT=None` is an importance of 1.
    """
    loss_BT = surrogate_BT if importance_BT is None else surrogate_BT * importance_BT
    for coefficient, values_BT in further:
        loss_BT = loss_BT + coefficient * values_BT
    return (loss_BT * weights_BT).sum()
