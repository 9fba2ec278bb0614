"""The settings of the algorithm, with every default, and the checks between them. Importing this loads no torch."""

from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from doubleback.rewards.contract.lookup import is_location
from doubleback.rewards.nearest import nearest
from doubleback.rewards.settings import Section
from doubleback.rewards.types import ConfigError, shortened
from doubleback.rl.config import Positive
from doubleback.rl.objective.functions import Functions, load
from doubleback.rl.objective.presets import PRESETS
from doubleback.rl.objective.tables import ADVANTAGES, KL_ESTIMATORS, LOCATED, SURROGATES, TABLES


class AlgorithmConfig(Section):
    """The algorithm: advantage, surrogate, ratio, corrections, KL, entropy."""

    preset: str | None = None
    """Start from the settings of a paper: a name of `rl.objective.presets`. Every key given beside it wins."""
    advantage: str = "centre"
    """From rewards to advantages: a row of `rl.objective.tables`, or a function of yours at `path.py:attr` or
    `package.module:attr`. `centre` is Dr. GRPO's, `standardise` GRPO's."""
    normaliser: Literal["constant", "token", "sequence"] = "constant"
    """What the token sum is divided by, over the whole step: see `rl.objective.losses.token_weights`."""
    surrogate: str = "clipped"
    """What is made of ratio and advantage: a row of `rl.objective.tables`, or a function of yours at `path.py:attr` or
    `package.module:attr`."""
    ratio: Literal["token", "sequence", "sequence_token"] = "token"
    """What the ratio is of: see `rl.objective.losses.probability_ratio`. The latter two are GSPO and GSPO-token."""
    old_logprobs: Literal["trainer", "sampler"] = "trainer"
    """What the ratio is to. `trainer`: this policy before the step, in the trainer's own numbers; the importance weight
    makes up for the difference to the sampler. `sampler`: what the engine reported, so that the clip bounds how far the
    policy has moved since it sampled, steps of rollout.ahead included, and no importance weight is taken."""
    clip_low: Annotated[float, Field(ge=0, le=1)] = 0.2
    """The probability ratio is clipped below at 1 - clip_low. 1: no lower bound."""
    clip_high: Annotated[float, Field(ge=0)] = 0.28
    """The probability ratio is clipped above at 1 + clip_high (DAPO's clip-higher)."""
    dual_clip: Positive | None = None
    """Bound of the ratio for negative advantages, above 1 + clip_high; 3 to 5 is usual. `null`: none."""
    sapo_positive: Positive = 1.0
    """SAPO: temperature of the soft gate for positive advantages."""
    sapo_negative: Positive = 1.05
    """SAPO: temperature of the soft gate for the others."""
    importance: str = "token_truncate"
    """How the difference between sampler and trainer is corrected: a row of `rl.objective.tables`, explained in
    `rl.objective.importance`."""
    importance_floor: Positive | None = None
    """Lower bound of the ratio trainer/sampler. `null`: none."""
    importance_cap: Positive | None = 2.0
    """Upper bound of the ratio trainer/sampler. `null` turns the correction off."""
    kl_coef: Annotated[float, Field(ge=0)] = 0.0
    """Weight of KL(policy || adapter-off reference). 0: no reference forward at all."""
    kl_estimator: str = "k3"
    """How the KL is estimated: a row of `rl.objective.tables`, explained in `rl.objective.kl`."""
    kl_in: Literal["loss", "reward"] = "loss"
    """A term of the loss, or summed over the completion and taken off its reward before the advantages."""
    kl_times_ratio: bool = False
    """Multiply the loss's KL by the probability ratio (DeepSeek-V3.2, arXiv:2512.02556; TRL's default)."""
    teacher_discount: Annotated[float, Field(ge=0, le=1)] = 0.0
    """With kind=distil, how much of what a token leads to counts for it: 0, its own distance from the teacher alone; 1,
    that of the whole rest (`rl.objective.kl`)."""
    entropy_coef: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the entropy bonus; with entropy_target only where it starts."""
    entropy_target: Positive | None = None
    """Mean entropy in nats to hold: the weight rises by entropy_delta a step at or under it, falls above it, and is
    applied only at or under it. `null`: the weight is constant."""
    entropy_delta: Positive = 0.005
    """Step of the adaptive weight."""
    entropy_max: Positive = 1.0
    """Upper bound of the adaptive weight."""
    mask_truncated: bool = False
    """Leave cut-off completions out of the loss; they still count in their group's mean."""
    drop_zero_variance: bool = True
    """Leave groups whose advantages are all 0 out of the forward pass. They are kept where a KL or entropy term still
    pulls on them. Changes speed, never the gradient."""
    routing_replay: bool = False
    """Send each token in the trainer to the experts that it was sent to in the engine (R3, arXiv:2510.11370)."""
    updates_per_batch: Annotated[int, Field(ge=1)] = 1
    """Optimiser steps on one batch of rollouts. 1 is exactly on-policy and needs no second forward."""

    @model_validator(mode="before")
    @classmethod
    def _start_from_the_preset(cls, data: Any) -> Any:
        name = data.get("preset") if isinstance(data, dict) else None
        if not isinstance(name, str):  # the key itself says what it takes
            return data
        if name not in PRESETS:
            raise ValueError(f"algorithm.preset={shortened(name)} is not a preset; {nearest(name, list(PRESETS))}")
        return {**PRESETS[name].settings, **data}

    @model_validator(mode="after")
    def _no_contradictions(self) -> "AlgorithmConfig":
        if findings := list(self._findings()):
            raise ValueError("\n".join(findings))
        return self

    @property
    def applied_cap(self) -> float | None:
        """importance_cap where the importance weight is taken, None where none is."""
        return self.importance_cap if self.old_logprobs == "trainer" else None

    @property
    def has_kl_loss(self) -> bool:
        """Whether the loss has a KL term."""
        return self.kl_coef > 0 and self.kl_in == "loss"

    @property
    def has_kl_reward(self) -> bool:
        """Whether a KL is taken off the rewards."""
        return self.kl_coef > 0 and self.kl_in == "reward"

    @property
    def has_entropy_bonus(self) -> bool:
        """Whether the loss has an entropy term, be its weight 0 at times."""
        return self.entropy_coef > 0 or self.entropy_target is not None

    @cached_property
    def functions(self) -> Functions:
        """What advantage, surrogate, importance and kl_estimator name, loaded once. ConfigError where one cannot be."""
        return load(dict(self))

    def require_functions(self) -> None:
        """ConfigError where a function of the user's cannot be loaded, or does not read a setting that was changed."""
        if findings := list(self._unread("surrogate", self.functions.surrogate_reads)):
            raise ConfigError("\n".join(findings))

    def _findings(self) -> Iterator[str]:
        yield from self._name_findings()
        yield from self._surrogate_findings()
        yield from self._importance_findings()
        yield from self._kl_findings()
        yield from self._entropy_findings()

    def _name_findings(self) -> Iterator[str]:
        for key, table in TABLES.items():
            name = getattr(self, key)
            if name in table:
                yield from self._unread(key, table[name].reads)
            elif not (key in LOCATED and is_location(name)):
                yield f"algorithm.{key}={name!r} is unknown; {nearest(name, table)}"

    def _unread(self, key: str, reads: Collection[str]) -> Iterator[str]:
        """A finding for each setting that was changed and that other rows of the table read, but nothing of `reads`."""
        for setting in dict.fromkeys(setting for row in TABLES[key].values() for setting in row.reads):
            if setting not in reads:
                readers = [name for name, row in TABLES[key].items() if setting in row.reads]
                yield from self.without_effect("algorithm", (setting,), key, " or ".join(readers))

    def _surrogate_findings(self) -> Iterator[str]:
        row = SURROGATES.get(self.surrogate)
        is_read = row is None or "dual_clip" in row.reads
        if is_read and self.dual_clip is not None and self.dual_clip <= 1 + self.clip_high:
            yield (
                f"algorithm.dual_clip={self.dual_clip} must be above 1 + algorithm.clip_high={1 + self.clip_high}; "
                "raise the first, 3 to 5 is usual, or lower the second"
            )
        if row and not row.has_ratio_gradient and self.ratio == "sequence_token":
            yield (
                f"algorithm.surrogate={self.surrogate} takes no gradient from the ratio, so that algorithm.ratio="
                "sequence_token is sequence; name that, or token"
            )

    def _importance_findings(self) -> Iterator[str]:
        floor, cap = self.importance_floor, self.importance_cap
        if self.old_logprobs == "sampler":
            all_keys = ("importance", "importance_floor", "importance_cap")
            yield from self.without_effect("algorithm", all_keys, "old_logprobs", "trainer")
        elif cap is None:
            yield from self.without_effect(
                "algorithm", ("importance", "importance_floor"), "importance_cap", "a number"
            )
        elif floor is not None and floor > cap:
            yield (
                f"algorithm.importance_floor={floor} is above algorithm.importance_cap={cap}; "
                "lower the first or raise the second"
            )

    def _kl_findings(self) -> Iterator[str]:
        estimator, advantage = KL_ESTIMATORS.get(self.kl_estimator), ADVANTAGES.get(self.advantage)
        if estimator and not estimator.has_gradient and self.kl_in == "loss" and not self.kl_times_ratio:
            others = " or ".join(name for name, row in KL_ESTIMATORS.items() if row.has_gradient)
            yield (
                f"algorithm.kl_estimator={self.kl_estimator} has no gradient of its own with algorithm.kl_in=loss and "
                f"algorithm.kl_times_ratio=false; set kl_times_ratio to true, kl_in to reward, or take {others}"
            )
        if self.kl_in == "reward" and self.kl_times_ratio:
            yield (
                "algorithm.kl_times_ratio=true weights the KL of the loss, but algorithm.kl_in=reward; "
                "set the first to false or the second to loss"
            )
        if advantage and advantage.divides_by_mean and self.has_kl_reward:
            yield (
                f"algorithm.advantage={self.advantage} divides by the mean reward, which algorithm.kl_in=reward with "
                f"algorithm.kl_coef={self.kl_coef} can turn negative; set kl_in to loss"
            )

    def _entropy_findings(self) -> Iterator[str]:
        if self.entropy_target is None:
            yield from self.without_effect("algorithm", ("entropy_delta", "entropy_max"), "entropy_target", "a number")
        elif self.entropy_coef > self.entropy_max:
            yield (
                f"algorithm.entropy_coef={self.entropy_coef} starts above algorithm.entropy_max={self.entropy_max}; "
                "lower the first or raise the second"
            )
