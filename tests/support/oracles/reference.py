"""The equations once more, in plain Python floats: what the torch code is held against.

Nothing here is shared with doubleback. One `Token` is one term of the step's loss; lists run over the whole step.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Token:
    """What the loss needs of one completion token; log-probabilities in nats."""

    logprob: float
    old: float
    sampler: float
    ref: float
    advantage: float
    weight: float


Row = Sequence[Token]
"""One completion: padding has no place here."""


@dataclass(frozen=True)
class Options:
    """Named as the keys of `algorithm`."""

    surrogate: str = "clipped"
    ratio: str = "token"
    old_logprobs: str = "trainer"
    clip_low: float = 0.2
    clip_high: float = 0.28
    dual_clip: float | None = None
    sapo_positive: float = 1.0
    sapo_negative: float = 1.05
    importance: str = "token_truncate"
    importance_floor: float | None = None
    importance_cap: float | None = 2.0
    kl_coef: float = 0.0
    kl_estimator: str = "k3"
    kl_times_ratio: bool = False


def deviation(values: Sequence[float]) -> float:
    """The unbiased one."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def advantages(groups: Sequence[Sequence[float]], name: str) -> list[list[float]]:
    """Of all groups of a step: (reward - baseline) / scale, group by group."""
    everything = [reward for group in groups for reward in group]
    means = [math.fsum(group) / len(group) for group in groups]
    centred = [reward - mean for group, mean in zip(groups, means, strict=True) for reward in group]
    found = []
    for group, mean in zip(groups, means, strict=True):
        others = [(math.fsum(group) - reward) / (len(group) - 1) for reward in group]
        scale = {
            "centre": lambda: 1.0,
            "standardise": lambda group=group: deviation(group) + 1e-4,
            "leave_one_out": lambda: 1.0,
            "maxrl": lambda mean=mean: mean if mean > 0 else math.inf,
            "batch_scaled": lambda: deviation(centred) + 1e-4,
            "batch_scaled_by_rewards": lambda: deviation(everything) + 1e-4,
        }[name]()
        baselines = others if name == "leave_one_out" else [mean] * len(group)
        found.append([(reward - baseline) / scale for reward, baseline in zip(group, baselines, strict=True)])
    return found


def token_weights(lengths: Sequence[int], normaliser: str, max_tokens: int) -> list[float]:
    """Weight of one token of each completion; length 0 is a completion whose loss is masked."""
    return [
        {
            "constant": 1 / (len(lengths) * max_tokens),
            "token": 1 / sum(lengths),
            "sequence": 1 / len(lengths) / (length or 1),
        }[normaliser]
        for length in lengths
    ]


def log_softmax(logits: Sequence[float], temperature: float) -> list[float]:
    scaled = [value / temperature for value in logits]
    top = max(scaled)
    normaliser = top + math.log(math.fsum(math.exp(value - top) for value in scaled))
    return [value - normaliser for value in scaled]


def entropy(logits: Sequence[float], temperature: float) -> float:
    return -math.fsum(math.exp(value) * value for value in log_softmax(logits, temperature))


def importance(row: Row, options: Options) -> list[float]:
    """Weight of each token's policy term."""
    if options.importance_cap is None or options.old_logprobs == "sampler":
        return [1.0] * len(row)
    gaps = [token.old - token.sampler for token in row]
    scope, how = options.importance.split("_")
    exponents = {
        "token": gaps,
        "sequence": [math.fsum(gaps)] * len(row),
        "geometric": [math.fsum(gaps) / len(row)] * len(row),
    }[scope]
    floor, cap = options.importance_floor or 0.0, options.importance_cap
    ratios = [math.exp(value) for value in exponents]
    if how == "truncate":
        return [min(max(ratio, floor), cap) for ratio in ratios]
    return [(1.0 if scope == "geometric" else ratio) if floor <= ratio <= cap else 0.0 for ratio in ratios]


def k3(logprob: float, other: float) -> float:
    return math.exp(other - logprob) - (other - logprob) - 1


def kl(token: Token, options: Options) -> tuple[float, float]:
    """The estimate, and its derivative by the log-probability."""
    difference = token.logprob - token.ref
    return {
        "k1": (difference, 1.0),
        "k2": (difference**2 / 2, difference),
        "k3": (k3(token.logprob, token.ref), 1 - math.exp(-difference)),
    }[options.kl_estimator]


def ratios(row: Row, options: Options, detached: Row) -> list[float]:
    """Policy over old policy, of each token. `detached` is the row that stop-gradients hold on to."""
    behind = [token.sampler if options.old_logprobs == "sampler" else token.old for token in row]
    tokens = [math.exp(token.logprob - old) for token, old in zip(row, behind, strict=True)]
    if options.ratio == "token":
        return tokens
    source = row if options.ratio == "sequence" else detached
    mean = math.exp(math.fsum(token.logprob - old for token, old in zip(source, behind, strict=True)) / len(row))
    if options.ratio == "sequence":
        return [mean] * len(row)
    return [mean * math.exp(token.logprob - held.logprob) for token, held in zip(row, detached, strict=True)]


def clipped(ratio: float, options: Options) -> float:
    return min(max(ratio, 1 - options.clip_low), 1 + options.clip_high)


def surrogate(token: Token, ratio: float, options: Options) -> tuple[float, float]:
    """- objective, and its derivative by the ratio. CISPO's is linear in the log-probability: see `loss`."""
    if options.surrogate == "sapo":
        tau = options.sapo_positive if token.advantage > 0 else options.sapo_negative
        gate = 1 / (1 + math.exp(-tau * (ratio - 1)))
        return -4 / tau * gate * token.advantage, -4 * gate * (1 - gate) * token.advantage
    value, slope = -ratio * token.advantage, -token.advantage
    if clipped(ratio, options) * token.advantage < ratio * token.advantage:
        value, slope = -clipped(ratio, options) * token.advantage, 0.0
    if options.dual_clip is not None and token.advantage < 0 and value > -options.dual_clip * token.advantage:
        value, slope = -options.dual_clip * token.advantage, 0.0
    return value, slope


def loss(rows: Sequence[Row], options: Options, detached: Sequence[Row] | None = None) -> float:
    """sum of w * (importance * surrogate + kl_coef * kl [* ratio])"""
    terms = []
    for row, held in zip(rows, detached or rows, strict=True):
        held_ratios = ratios(held, options, held)
        weights = importance(row, options)
        for token, ratio, held_ratio, weight in zip(row, ratios(row, options, held), held_ratios, weights, strict=True):
            if options.surrogate == "cispo":
                value = -clipped(held_ratio, options) * token.advantage * token.logprob
            else:
                value = surrogate(token, ratio, options)[0]
            penalty = kl(token, options)[0] * (ratio if options.kl_times_ratio else 1.0)
            terms.append(token.weight * (weight * value + options.kl_coef * penalty))
    return math.fsum(terms)


def gradient(rows: Sequence[Row], options: Options) -> list[list[float]]:
    """Derivative of the loss by each token's log-probability."""
    return [_row_gradient(row, options) for row in rows]


def _row_gradient(row: Row, options: Options) -> list[float]:
    by_ratio, direct = [], []
    found = ratios(row, options, row)
    for token, ratio, weight in zip(row, found, importance(row, options), strict=True):
        value, slope = kl(token, options)
        is_cispo = options.surrogate == "cispo"
        policy = 0.0 if is_cispo else weight * surrogate(token, ratio, options)[1]
        penalty = options.kl_coef * value if options.kl_times_ratio else 0.0
        by_ratio.append(token.weight * (policy + penalty) * ratio)
        linear = -weight * clipped(ratio, options) * token.advantage if is_cispo else 0.0
        scale = ratio if options.kl_times_ratio else 1.0
        direct.append(token.weight * (linear + options.kl_coef * slope * scale))
    if options.ratio == "sequence":  # d ratio / d log-probability = ratio / length, whichever the token
        by_ratio = [math.fsum(by_ratio) / len(row)] * len(row)
    return [one + other for one, other in zip(by_ratio, direct, strict=True)]
