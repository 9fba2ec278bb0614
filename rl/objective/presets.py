"""Named settings of `algorithm`, one per paper. A recipe names one and may override it key by key. Loads no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Preset:
    """Keys of `algorithm` that differ from its defaults, or that the paper is about."""

    description: str
    """One line for `doubleback list`."""
    paper: str
    """Where it comes from."""
    settings: Mapping[str, Any]
    """Key of `algorithm` -> value. The correction between sampler and trainer is left alone unless it is the point."""
    rollout: Mapping[str, Any] = field(default_factory=dict)
    """The same of the section `rollout`."""


GRPO = {"advantage": "standardise", "normaliser": "sequence"}
SYMMETRIC = {"clip_low": 0.2, "clip_high": 0.2}
GSPO = {**GRPO, "clip_low": 3e-4, "clip_high": 4e-4}

SFT: Mapping[str, Any] = {
    "advantage": "one",
    "surrogate": "log_likelihood",
    "normaliser": "token",
    "importance_cap": None,
}
"""What `kind: sft` says of `algorithm`: the mean cross-entropy over the tokens of a step."""

DISTIL: Mapping[str, Any] = {"advantage": "zero", "normaliser": "token"}
"""What `kind: distil` says of `algorithm`: no reward, the mean reverse KL over the tokens of a step."""

PRESETS: dict[str, Preset] = {
    "grpo": Preset(
        "group mean and deviation, mean over each completion, KL to the base",
        "arXiv:2402.03300",
        {**GRPO, **SYMMETRIC, "kl_coef": 0.04, "kl_estimator": "k3", "kl_in": "loss"},
    ),
    "dr_grpo": Preset(
        "group mean alone, one constant normaliser: no bias by length or difficulty",
        "arXiv:2503.20783",
        {"advantage": "centre", "normaliser": "constant", **SYMMETRIC},
    ),
    "dapo": Preset(
        "clip-higher, every token weighs the same, groups without spread are replaced",
        "arXiv:2503.14476",
        {"advantage": "standardise", "normaliser": "token", "clip_low": 0.2, "clip_high": 0.28},
        rollout={"max_rounds": 10},
    ),
    "rloo": Preset(
        "the others' mean as baseline, KL in the reward",
        "arXiv:2402.14740",
        {"advantage": "leave_one_out", "normaliser": "constant", **SYMMETRIC, "kl_estimator": "k1", "kl_in": "reward"},
    ),
    "reinforce_pp": Preset(
        "REINFORCE++ with baseline: group mean, deviation over the whole step",
        "arXiv:2501.03262",
        {"advantage": "batch_scaled", "normaliser": "token", **SYMMETRIC, "kl_estimator": "k2", "kl_in": "loss"},
    ),
    "lite_ppo": Preset(
        "group mean, deviation of the whole step's rewards, every token weighs the same",
        "arXiv:2508.08221",
        {"advantage": "batch_scaled_by_rewards", "normaliser": "token"},
    ),
    "maxrl": Preset(
        "group mean subtracted and divided by: hard problems weigh 1 / pass rate",
        "arXiv:2602.02710",
        {"advantage": "maxrl", "normaliser": "constant"},
    ),
    "gspo": Preset(
        "one ratio per completion, clipped within 3e-4 and 4e-4",
        "arXiv:2507.18071",
        {**GSPO, "ratio": "sequence"},
    ),
    "gspo_token": Preset(
        "the completion's ratio with each token's own gradient",
        "arXiv:2507.18071",
        {**GSPO, "ratio": "sequence_token"},
    ),
    "cispo": Preset(
        "the ratio is a clipped weight without gradient: no token is dropped",
        "arXiv:2506.13585",
        # MiniMax-M1 gives no number for its upper bound and no lower one; 5 is ScaleRL's (arXiv:2510.13786).
        {"surrogate": "cispo", "advantage": "standardise", "normaliser": "token", "clip_low": 1.0, "clip_high": 4.0},
    ),
    "sapo": Preset(
        "a soft gate instead of a clip, steeper for negative advantages",
        "arXiv:2511.20347",
        {**GRPO, "surrogate": "sapo", "sapo_positive": 1.0, "sapo_negative": 1.05},
    ),
    "icepop": Preset(
        "tokens on which sampler and trainer disagree by more than 0.5 to 5 are masked",
        "arXiv:2510.18855",
        {**GRPO, "importance": "token_mask", "importance_floor": 0.5, "importance_cap": 5.0},
    ),
}
