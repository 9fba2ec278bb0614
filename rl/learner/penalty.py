"""A KL that is taken off the reward, before the advantages. Shapes: T tokens."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.types import Group, TokenSequence

Score = Callable[[Sequence[TokenSequence]], list[tuple[float, ...]]]
"""Log-probabilities of each completion's tokens under the adapter-off reference, at the sampling temperature."""
Estimator = Callable[[Tensor, Tensor], Tensor]
"""A function of `rl.objective.kl`."""


def penalise(groups: Sequence[Group], score: Score, algorithm: AlgorithmConfig) -> Sequence[Group]:
    """With kl_in=reward, the groups with kl_coef * KL(policy || adapter-off reference) of each completion.

    Summed over the completion's tokens (RLOO, arXiv:2402.14740). The policy's side is what the sampler reported,
    so that one forward pass is enough; TRL computes it once more in the trainer.
    """
    if not algorithm.has_kl_reward:
        return groups
    sequences = [(group.prompt_ids, completion.token_ids) for group in groups for completion in group.completions]
    references = iter(score(sequences))
    return [
        replace(
            group,
            penalties=tuple(
                kl_penalty(completion.sampler_logprobs, next(references), algorithm.functions.kl, algorithm.kl_coef)
                for completion in group.completions
            ),
        )
        for group in groups
    ]


def kl_penalty(logprobs_T: Sequence[float], ref_logprobs_T: Sequence[float], kl: Estimator, kl_coef: float) -> float:
    """kl_coef times the estimated KL of one completion, summed over its tokens.

    For example k1 with kl_coef=0.1, log-probabilities -1 and -2, and -1.5 and -1 of the reference: 0.1 * (0.5 - 1).
    """
    policy, reference = (torch.tensor([row], dtype=torch.float64) for row in (logprobs_T, ref_logprobs_T))
    return kl_coef * float(kl(policy, reference).sum())
