"""Options of the loss as doubleback and TRL name them. The head of `tests/rl/learner/test_parity_trl.py` says what
differs.
"""

from dataclasses import dataclass, field
from typing import Any

from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.tables import IMPORTANCE
from support.oracles.trl import MAX_TOKENS


@dataclass(frozen=True)
class Case:
    """One option on both sides."""

    ours: dict[str, Any] = field(default_factory=dict)
    """AlgorithmConfig"""
    theirs: dict[str, Any] = field(default_factory=dict)
    """GRPOConfig"""
    temperature: float = 1.0
    is_second_update: bool = False
    """Whether the policy has moved since the rollout, so that ratios differ from 1 and clip."""
    has_importance: bool = False
    """Whether an importance weight corrects the difference between trainer and sampler."""
    scale: float = 1.0
    """What TRL's loss has to be multiplied by, where its normaliser is another constant."""

    def algorithm(self, **changes):
        return AlgorithmConfig(**({"importance_cap": 2.0 if self.has_importance else None} | self.ours | changes))


CONSTANT = {"normaliser": "constant"}, {"loss_type": "dr_grpo", "scale_rewards": "none"}
TOKEN = {"normaliser": "token"}, {"loss_type": "dapo", "scale_rewards": "none"}
SEQUENCE = {"normaliser": "sequence", "advantage": "standardise"}, {"loss_type": "grpo", "scale_rewards": "group"}


def case(option, ours=(), theirs=(), **settings):
    return Case({**option[0], **dict(ours)}, {**option[1], **dict(theirs)}, **settings)


PLAIN_KL = {"kl_coef": 0.1}, {"beta": 0.1, "use_bias_correction_kl": False}
RATIO_KL = {"kl_coef": 0.1, "kl_times_ratio": True}, {"beta": 0.1, "use_bias_correction_kl": True}
MASKED = {"mask_truncated": True}, {"mask_truncated_completions": True}
GSPO = (
    {**SEQUENCE[0], "ratio": "sequence", "clip_low": 0.02, "clip_high": 0.03},
    {**SEQUENCE[1], "importance_sampling_level": "sequence", "epsilon": 0.02, "epsilon_high": 0.03},
)
CISPO = (
    {"normaliser": "token", "surrogate": "cispo", "clip_low": 1.0, "clip_high": 0.2},
    {"loss_type": "cispo", "scale_rewards": "none", "epsilon_high": 1.2},
)
SAPO = {**SEQUENCE[0], "surrogate": "sapo"}, {**SEQUENCE[1], "loss_type": "sapo"}
ENTROPY = {"entropy_coef": 0.05}, {"entropy_coef": 0.05}


def bounds(correction, floor, cap):
    theirs = {"mode": IMPORTANCE[correction].trl, "clip_min": floor, "clip_max": cap}
    return (
        {"importance": correction, "importance_floor": floor, "importance_cap": cap},
        {f"vllm_importance_sampling_{key}": value for key, value in theirs.items()},
    )


BNPO = {"normaliser": "token"}, {"loss_type": "bnpo", "scale_rewards": "none"}
CASES = {
    "constant": case(CONSTANT),
    "constant, standardised": case(CONSTANT, {"advantage": "standardise"}, {"scale_rewards": "group"}),
    "token": case(TOKEN),
    "token as bnpo": case(BNPO),
    "sequence": case(SEQUENCE),
    "sequence, centred": case(SEQUENCE, {"advantage": "centre"}, {"scale_rewards": "none"}),
    "temperature 0.7": case(CONSTANT, temperature=0.7),
    "temperature 1.5": case(SEQUENCE, temperature=1.5),
    "clip": case(CONSTANT, is_second_update=True),
    "clip, sequence": case(SEQUENCE, is_second_update=True),
    "clip, symmetric": case(TOKEN, {"clip_high": 0.2}, {"epsilon_high": 0.2}, is_second_update=True),
    "clip, wide": case(
        TOKEN, {"clip_low": 0.5, "clip_high": 3.0}, {"epsilon": 0.5, "epsilon_high": 3.0}, is_second_update=True
    ),
    "kl": case(CONSTANT, *PLAIN_KL),
    "kl, clip": case(SEQUENCE, *PLAIN_KL, is_second_update=True),
    "masked, constant": case(CONSTANT, *MASKED),
    "masked, token": case(TOKEN, *MASKED),
    "masked, sequence": case(SEQUENCE, *MASKED),
    "importance": case(CONSTANT, has_importance=True),
    "importance, clip": case(SEQUENCE, is_second_update=True, has_importance=True),
    "batch": case(CONSTANT, {"advantage": "batch_scaled_by_rewards"}, {"scale_rewards": "batch"}),
    "dual clip": case(CONSTANT, {"dual_clip": 1.4}, {"delta": 1.4}, is_second_update=True),
    "gspo": case(GSPO, is_second_update=True),
    "gspo, constant": case(
        GSPO,
        {"normaliser": "constant", "advantage": "centre"},
        {"loss_type": "dr_grpo", "scale_rewards": "none"},
        is_second_update=True,
    ),
    "gspo, masked, kl times ratio": case(
        GSPO,
        {**RATIO_KL[0], **MASKED[0]},
        {**RATIO_KL[1], **MASKED[1]},
        is_second_update=True,
    ),
    "luspo": case(
        GSPO, {"normaliser": "constant"}, {"loss_type": "luspo"}, is_second_update=True, scale=1 / MAX_TOKENS
    ),
    "cispo": case(CISPO, is_second_update=True),
    "cispo, masked, kl, importance": case(
        CISPO,
        {**PLAIN_KL[0], **MASKED[0]},
        {**PLAIN_KL[1], **MASKED[1]},
        is_second_update=True,
        has_importance=True,
    ),
    "cispo, sequence": case(
        CISPO,
        {"ratio": "sequence", "clip_high": 0.03},
        {"importance_sampling_level": "sequence", "epsilon_high": 1.03},
        is_second_update=True,
    ),
    "sapo": case(SAPO, is_second_update=True),
    "sapo, steep, masked, kl": case(
        SAPO,
        {**PLAIN_KL[0], **MASKED[0], "sapo_positive": 2.0, "sapo_negative": 5.0},
        {**PLAIN_KL[1], **MASKED[1], "sapo_temperature_pos": 2.0, "sapo_temperature_neg": 5.0},
        is_second_update=True,
    ),
    "kl times ratio": case(CONSTANT, *RATIO_KL),
    "kl times ratio, clip": case(TOKEN, *RATIO_KL, is_second_update=True),
    "entropy": case(TOKEN, *ENTROPY),
    "entropy, masked, clip": case(
        TOKEN, {**ENTROPY[0], **MASKED[0]}, {**ENTROPY[1], **MASKED[1]}, is_second_update=True
    ),
    "importance floor": case(CONSTANT, *bounds("token_truncate", 0.5, 2.0), has_importance=True),
    "token mask": case(CONSTANT, *bounds("token_mask", None, 2.0), has_importance=True),
    "icepop": case(SEQUENCE, *bounds("token_mask", 0.5, 5.0), has_importance=True),
    "sequence truncate": case(CONSTANT, *bounds("sequence_truncate", None, 2.0), has_importance=True),
    "sequence mask": case(CONSTANT, *bounds("sequence_mask", 0.1, 5.0), is_second_update=True, has_importance=True),
    "all at once": case(
        TOKEN,
        {**PLAIN_KL[0], **MASKED[0], "advantage": "standardise"},
        {**PLAIN_KL[1], **MASKED[1], "scale_rewards": "group"},
        temperature=0.8,
        is_second_update=True,
        has_importance=True,
    ),
}
