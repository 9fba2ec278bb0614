"""The variants of the algorithm, one row each: what `algorithm` may name, and all that is decided by the name.

The schema checks names against these tables and derives from them which settings have no effect; `recipes.trl.mapping`
reads TRL's names here. A row says where its function is; `rl.objective.functions` loads it on use, so that importing
this loads no torch. A new variant is a pure function and a row.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HERE = "doubleback.rl.objective"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What every variant has."""

    function: str
    """`package.module:attr`."""
    paper: str
    """Where it comes from."""
    reads: tuple[str, ...] = ()
    """Keys of `algorithm` that matter to it. Changing another one that only its neighbours read is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advantage(Row):
    """From rewards to advantages. A parameter `rewards_G` takes those of one group, `rewards_PG` of the whole step."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Arguments beside the rewards, which tell variants of one function apart."""
    divides_by_mean: bool = False
    """Whether a mean reward that is not positive spoils it, as one from which a KL was taken can be."""
    trl: str | None = None
    """TRL's scale_rewards. None: TRL has not got it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrlLoss:
    """What a surrogate is called in `trl.GRPOConfig`."""

    types: Mapping[str, str]
    """algorithm.normaliser -> loss_type, for the pairs that TRL has."""
    is_bound_itself: bool = False
    """Whether epsilon_high is the upper bound of the ratio, and not its distance from 1; there is no lower one then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surrogate(Row):
    """What is made of ratio and advantage. Its parameters are named as `rl.objective.functions.TENSORS` and `reads`."""

    shares: str | None = None
    """The function of what it clips: metric name -> which tokens. None: it clips nothing."""
    has_ratio_gradient: bool = True
    """Whether the gradient goes through the ratio. False: the ratio is but a weight."""
    trl: TrlLoss | None = None
    """None: TRL has not got it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance(Row):
    """The correction between sampler and trainer: a ratio, and by `function` the weight that is made of it."""

    ratio: str
    """The function from the log-probabilities of trainer and sampler to their ratio."""
    trl: str | None = None
    """TRL's vllm_importance_sampling_mode. None: TRL has not got it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KlEstimator(Row):
    """An estimate of KL(policy || other) of each token."""

    has_gradient: bool = True
    """Whether its own gradient is of use in a loss, and not 0 in expectation."""
    is_trls: bool = False
    """Whether it is the one that TRL has."""


ADVANTAGES: dict[str, Advantage] = {
    "centre": Advantage(function=f"{HERE}.advantages:centre", paper="arXiv:2503.20783", trl="none"),
    "standardise": Advantage(function=f"{HERE}.advantages:standardise", paper="arXiv:2402.03300", trl="group"),
    "leave_one_out": Advantage(function=f"{HERE}.advantages:leave_one_out", paper="arXiv:2402.14740"),
    "maxrl": Advantage(function=f"{HERE}.advantages:maxrl", paper="arXiv:2602.02710", divides_by_mean=True),
    "one": Advantage(function=f"{HERE}.advantages:one", paper="arXiv:2203.02155"),
    "zero": Advantage(function=f"{HERE}.advantages:zero", paper="arXiv:2306.13649"),
    "batch_scaled": Advantage(
        function=f"{HERE}.advantages:batch_scaled", paper="arXiv:2501.03262", arguments={"by_rewards": False}
    ),
    "batch_scaled_by_rewards": Advantage(
        function=f"{HERE}.advantages:batch_scaled",
        paper="arXiv:2508.08221",
        arguments={"by_rewards": True},
        trl="batch",
    ),
}
"""algorithm.advantage."""

SURROGATES: dict[str, Surrogate] = {
    "clipped": Surrogate(
        function=f"{HERE}.losses:clipped_surrogate",
        paper="arXiv:1707.06347, arXiv:2503.14476",
        reads=("clip_low", "clip_high", "dual_clip"),
        shares=f"{HERE}.losses:clip_shares",
        trl=TrlLoss(types={"constant": "dr_grpo", "token": "dapo", "sequence": "grpo"}),
    ),
    "cispo": Surrogate(
        function=f"{HERE}.losses:cispo_surrogate",
        paper="arXiv:2506.13585",
        reads=("clip_low", "clip_high"),
        shares=f"{HERE}.losses:clip_shares",
        has_ratio_gradient=False,
        trl=TrlLoss(types={"token": "cispo"}, is_bound_itself=True),
    ),
    "log_likelihood": Surrogate(
        function=f"{HERE}.losses:log_likelihood", paper="arXiv:2203.02155", has_ratio_gradient=False
    ),
    "sapo": Surrogate(
        function=f"{HERE}.losses:sapo_surrogate",
        paper="arXiv:2511.20347",
        reads=("sapo_positive", "sapo_negative"),
        trl=TrlLoss(types={"sequence": "sapo"}),
    ),
}
"""algorithm.surrogate."""

_BOUNDS = ("importance_floor", "importance_cap")
_TIS = "Yao et al. 2025"
_MIS = "Liu et al. 2025"
IMPORTANCE: dict[str, Importance] = {
    "token_truncate": Importance(
        ratio=f"{HERE}.importance:token_ratio",
        function=f"{HERE}.importance:truncated",
        paper=_TIS,
        reads=_BOUNDS,
        trl="token_truncate",
    ),
    "token_mask": Importance(
        ratio=f"{HERE}.importance:token_ratio",
        function=f"{HERE}.importance:masked",
        paper=f"{_MIS}, arXiv:2510.18855",
        reads=_BOUNDS,
        trl="token_mask",
    ),
    "sequence_truncate": Importance(
        ratio=f"{HERE}.importance:sequence_ratio",
        function=f"{HERE}.importance:truncated",
        paper=_TIS,
        reads=_BOUNDS,
        trl="sequence_truncate",
    ),
    "sequence_mask": Importance(
        ratio=f"{HERE}.importance:sequence_ratio",
        function=f"{HERE}.importance:masked",
        paper=_MIS,
        reads=_BOUNDS,
        trl="sequence_mask",
    ),
    "geometric_mask": Importance(
        ratio=f"{HERE}.importance:geometric_ratio",
        function=f"{HERE}.importance:rejected",
        paper=_MIS,
        reads=_BOUNDS,
    ),
}
"""algorithm.importance."""

KL_ESTIMATORS: dict[str, KlEstimator] = {
    "k1": KlEstimator(function=f"{HERE}.kl:kl_k1", paper="Schulman 2020", has_gradient=False),
    "k2": KlEstimator(function=f"{HERE}.kl:kl_k2", paper="Schulman 2020"),
    "k3": KlEstimator(function=f"{HERE}.kl:kl_k3", paper="Schulman 2020", is_trls=True),
}
"""algorithm.kl_estimator."""

TABLES: dict[str, Mapping[str, Row]] = {
    "advantage": ADVANTAGES,
    "surrogate": SURROGATES,
    "importance": IMPORTANCE,
    "kl_estimator": KL_ESTIMATORS,
}
"""Key of `algorithm` -> what it may name."""
LOCATED = ("advantage", "surrogate")
"""Keys that also take a function of the user's, by `path.py:attr` or `package.module:attr`."""
