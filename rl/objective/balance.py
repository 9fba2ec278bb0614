"""How evenly tokens are spread over experts, without torch. Shapes: N tokens, L layers, K experts a token of E."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan, log, nan
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLLAPSED_SHARE = 0.75
"""Of a layer's tokens with one and the same expert; beyond it the routing is said to collapse. Balanced it is experts a
token / experts of the layer: .25 in the bundled countdown base, whose busiest expert has .42."""


@dataclass(frozen=True, slots=True)
class Balance:
    """Of one layer. For example the loads 4, 3, 1, 0 of four tokens with two of four experts each, on average 2."""

    max_violation: float
    """(largest load - mean load) / mean load: MaxVio of arXiv:2408.15664. Here (4 - 2) / 2 = 1; 0 if balanced."""
    mean_violation: float
    """Mean over the experts of |load - mean load| / mean load: here (1 + .5 + .5 + 1) / 4. 0 if balanced."""
    entropy: float
    """-sum p ln p of p = load / sum of loads, over ln E: here .974 / 1.386. 1 if balanced, 0 with one used."""
    unused: float
    """Share of the experts that no token chose: here 1/4."""
    largest_share: float
    """Share of the tokens that chose the busiest expert; here 1; K / E if balanced."""


def expert_loads(experts_NLK: NDArray[Any], num_experts: int) -> NDArray[np.int64]:
    """How many tokens chose each expert of each layer, (L, E)."""
    num_layers = experts_NLK.shape[1]
    offsets_L1 = num_experts * np.arange(num_layers)[:, None]
    counts = np.bincount((experts_NLK + offsets_L1).ravel(), minlength=num_layers * num_experts)
    return counts.reshape(num_layers, num_experts)


def balance(load_E: Sequence[float], num_tokens: float) -> Balance:
    """The balance of a layer whose experts were chosen so often by so many tokens. NaN where no token is."""
    total, num_experts = float(sum(load_E)), len(load_E)
    if not total > 0:
        return Balance(nan, nan, nan, nan, nan)
    relative = [load * num_experts / total for load in load_E]  # to the mean load
    shares = [load / total for load in load_E if load > 0]
    return Balance(
        max_violation=max(relative) - 1,
        mean_violation=mean(abs(load - 1) for load in relative),
        entropy=-sum(share * log(share) for share in shares) / log(num_experts) if num_experts > 1 else nan,
        unused=sum(load == 0 for load in load_E) / num_experts,
        largest_share=max(load_E) / num_tokens,
    )


def moved_bias(bias_E: NDArray[Any], load_E: NDArray[Any], rate: float) -> NDArray[np.float64]:
    """The bias of each expert after a step: b + rate * sign(mean load - load), what is overloaded down, else up.

    Auxiliary-loss-free balancing (arXiv:2408.15664, algorithm 1; DeepSeek-V3, arXiv:2412.19437, eq. 16): the bias is
    added to the scores for the choice alone, and the weights of the chosen are those of the scores without it. For
    example loads of 4, 3, 1, 0, on average 2, at a rate of .001: -.001, -.001, +.001, +.001. One at the mean stays.
    """
    moved_E: NDArray[np.float64] = bias_E + rate * np.sign(load_E.mean() - load_E)
    return moved_E


def over_layers(balances: Sequence[Balance]) -> dict[str, float]:
    """One number each of several layers: the mean, and where one bad layer must not hide in a mean, the worst.

    NaN where it is of any layer, and without layers.
    """
    layers = {name: [getattr(it, name) for it in balances] for name in Balance.__dataclass_fields__}
    worst = {"worst_violation": _worst(layers["max_violation"]), "largest_share": _worst(layers["largest_share"])}
    means = {name: mean(values) if values else nan for name, values in layers.items()}
    return means | worst


def _worst(values: Sequence[float]) -> float:
    # max() alone would pass over a NaN that is not the first.
    return nan if not values or any(map(isnan, values)) else max(values)


def by_layer(balances: Sequence[Balance]) -> list[Mapping[str, float | None]]:
    """As plain numbers, a mapping a layer, as a file has them: NaN is null."""
    return [{name: None if isnan(value) else value for name, value in asdict(it).items()} for it in balances]


def from_layers(layers: Sequence[Mapping[str, float | None]]) -> list[Balance]:
    """What `by_layer` was made of."""
    return [Balance(**{name: nan if value is None else value for name, value in layer.items()}) for layer in layers]
