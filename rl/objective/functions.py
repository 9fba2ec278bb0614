"""The functions that `algorithm` names, loaded: a row of the tables, or one of the user's by its location.

A function says by its parameters what it wants. An advantage takes rewards, a surrogate any of `TENSORS`; both may take
keys of `algorithm` by name. What a user's function returns is checked at every call. Importing this loads no torch.
"""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any

from doubleback.rewards.contract.lookup import at_location, is_location
from doubleback.rewards.nearest import nearest
from doubleback.rewards.types import ConfigError, RunError
from doubleback.rl.objective.advantages import StepAdvantage
from doubleback.rl.objective.tables import ADVANTAGES, IMPORTANCE, KL_ESTIMATORS, SURROGATES, TABLES

if TYPE_CHECKING:
    from torch import Tensor

Function = Callable[..., Any]
REWARDS = ("rewards_G", "rewards_PG")
"""What an advantage takes: the judged rewards of one group, or those of every group of the step."""
TENSORS = ("ratio_BT", "logprobs_BT", "advantages_B1", "mask_BT")
"""What a surrogate may take: the probability ratio, (B, T) or of whole completions (B, 1); the policy's
log-probabilities with gradient; one advantage a completion, but with a teacher one a token, (B, T); True where a token
belongs to a completion."""


@dataclass(frozen=True, slots=True)
class Functions:
    """What one `algorithm` names, with its settings bound."""

    advantage: StepAdvantage
    """Rewards of all groups of a step -> their advantages."""
    surrogate: "Callable[..., Tensor]"
    """`TENSORS` by name -> the loss of each token, (B, T) or (B, 1)."""
    clip_shares: "Callable[..., dict[str, Tensor]]"
    """`TENSORS` by name -> metric name -> which tokens the surrogate clips. A user's surrogate counts none."""
    importance_ratio: "Callable[[Tensor, Tensor, Tensor], Tensor]"
    """Log-probabilities of trainer and sampler, mask -> their ratio, (B, T) or (B, 1)."""
    importance_weight: "Callable[[Tensor, float | None, float], Tensor]"
    """That ratio, floor and cap -> the weight of the policy term."""
    kl: "Callable[[Tensor, Tensor], Tensor]"
    """Log-probabilities of policy and reference -> the estimate, nats per token."""
    surrogate_reads: frozenset[str]
    """Keys of `algorithm` that the surrogate is given."""


def load(settings: Mapping[str, Any]) -> Functions:
    """The functions that these settings of `algorithm` name.

    Runs the code of a user's module. ConfigError where that has no such function, or one of another signature.
    """
    values = {key: value for key, value in settings.items() if key not in TABLES}
    surrogate_name, importance = settings["surrogate"], IMPORTANCE[settings["importance"]]
    surrogate, row = named("surrogate", surrogate_name), SURROGATES.get(surrogate_name)
    shares = None if row is None or row.shares is None else at_location(row.shares, "algorithm.surrogate")
    return Functions(
        advantage=_advantage(settings["advantage"], values),
        surrogate=_surrogate(surrogate_name, surrogate, values),
        clip_shares=_by_name(shares, values) if shares else _no_shares,
        importance_ratio=at_location(importance.ratio, "algorithm.importance"),
        importance_weight=at_location(importance.function, "algorithm.importance"),
        kl=at_location(KL_ESTIMATORS[settings["kl_estimator"]].function, "algorithm.kl_estimator"),
        surrogate_reads=frozenset(_parameters(surrogate, "algorithm.surrogate")) & values.keys(),
    )


def named(key: str, name: str) -> Function:
    """The function of the table row `name`, or the one at that location. ConfigError names `algorithm.KEY`."""
    function = at_location(name if is_location(name) else TABLES[key][name].function, f"algorithm.{key}")
    if not callable(function):
        raise ConfigError(f"algorithm.{key}={name} is no function, but {type(function).__name__}")
    return function  # type: ignore[no-any-return]


def _advantage(name: str, settings: Mapping[str, Any]) -> StepAdvantage:
    function, what = named("advantage", name), f"algorithm.advantage={name}"
    row = ADVANTAGES.get(name)
    if row is not None:
        return _over_a_step(function, row.arguments)
    first = next(iter(_parameters(function, what)), "nothing")
    if first not in REWARDS:
        raise ConfigError(
            f"{what} takes {first} first; let that be rewards_G, the rewards of one group, or rewards_PG, those of "
            f"every group of the step"
        )
    arguments = _given(function, (first,), settings, what)
    return partial(_checked_advantages, what, _over_a_step(function, arguments))


def _over_a_step(function: Function, arguments: Mapping[str, Any]) -> StepAdvantage:
    """The advantage of a step: the function itself where it takes all groups, else group by group."""
    if "rewards_PG" in inspect.signature(function).parameters:
        return partial(function, **arguments)
    return partial(_group_by_group, partial(function, **arguments))


def _group_by_group(advantage: Function, rewards_PG: Sequence[Sequence[float]]) -> list[Any]:
    return [advantage(rewards_G) for rewards_G in rewards_PG]


def _checked_advantages(
    what: str, advantage: StepAdvantage, rewards_PG: Sequence[Sequence[float]]
) -> list[list[float]]:
    """What a user's function makes of the rewards. RunError unless that is a finite number for each of them."""
    returned = advantage(rewards_PG)
    try:
        advantages_PG = [[float(value) for value in advantages_G] for advantages_G in returned]
    except (TypeError, ValueError) as error:
        raise RunError(f"{what} must return a number for each reward: {error}") from error
    if len(advantages_PG) != len(rewards_PG):
        raise RunError(f"{what} returned {len(advantages_PG)} groups of advantages for {len(rewards_PG)} of rewards")
    for rewards_G, advantages_G in zip(rewards_PG, advantages_PG, strict=True):
        if len(advantages_G) != len(rewards_G):
            raise RunError(f"{what} returned {len(advantages_G)} advantages for {len(rewards_G)} rewards: {rewards_G}")
        if not all(map(isfinite, advantages_G)):
            raise RunError(f"{what} returned {advantages_G} for the rewards {rewards_G}; advantages must be finite")
    return advantages_PG


def _surrogate(name: str, function: Function, settings: Mapping[str, Any]) -> "Callable[..., Tensor]":
    if not is_location(name):
        return _by_name(function, settings)
    what = f"algorithm.surrogate={name}"
    if not {"ratio_BT", "logprobs_BT"} & _parameters(function, what).keys():
        raise ConfigError(
            f"{what} takes neither ratio_BT nor logprobs_BT, so that no gradient can go through it; take one of them"
        )
    _given(function, TENSORS, settings, what)
    return partial(_checked_loss, what, _by_name(function, settings))


def _by_name(function: Function, settings: Mapping[str, Any]) -> Function:
    """The function called with those of the tensors that it takes, and with those settings."""
    parameters = frozenset(inspect.signature(function).parameters)
    arguments = {name: value for name, value in settings.items() if name in parameters}
    return partial(_call, partial(function, **arguments), parameters)


def _call(function: Function, parameters: Collection[str], **tensors: "Tensor") -> Any:
    return function(**{name: tensor for name, tensor in tensors.items() if name in parameters})


def _no_shares(**tensors: "Tensor") -> dict[str, "Tensor"]:
    return {}


def _checked_loss(what: str, surrogate: "Callable[..., Tensor]", **tensors: "Tensor") -> "Tensor":
    """What a user's surrogate returns. RunError unless that is a finite tensor with a value for each token."""
    loss_BT = surrogate(**tensors)
    batch, width = tensors["mask_BT"].shape
    shape = tuple(getattr(loss_BT, "shape", ()))
    if shape not in ((batch, width), (batch, 1)):
        raise RunError(
            f"{what} returned {type(loss_BT).__name__} of shape {shape} for {batch} completions of {width} tokens; "
            f"return a tensor of shape {(batch, width)} or {(batch, 1)}"
        )
    if not bool(loss_BT.isfinite().all()):
        raise RunError(f"{what} returned a loss that is not finite; bound what it takes the exponential or quotient of")
    return loss_BT


def _given(function: Function, values: Collection[str], settings: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The settings that a user's function takes beside `values`. ConfigError for a parameter that is neither."""
    parameters = _parameters(function, what)
    for name, parameter in parameters.items():
        if name not in values and name not in settings and parameter.default is parameter.empty:
            hint = nearest(name, [*values, *settings])
            raise ConfigError(f"{what} takes {name!r}, which is neither given nor a key of algorithm; {hint}")
    return {name: settings[name] for name in parameters if name in settings}


def _parameters(function: Function, what: str) -> dict[str, inspect.Parameter]:
    """The parameters that can be given by name. ConfigError where Python does not know them."""
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(function).parameters
    except ValueError as error:
        raise ConfigError(f"{what} does not tell its parameters; write a function of Python around it") from error
    return {name: parameter for name, parameter in parameters.items() if parameter.kind in kinds}
