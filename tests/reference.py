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


@dataclass(frozen=True)
class Options:
    clip_low: float = 0.2
    clip_high: float = 0.28
    importance_cap: float | None = 2.0
    kl_coef: float = 0.0


def advantages(rewards: Sequence[float], standardised: bool) -> list[float]:
    """Reward - group mean; over (unbiased deviation + 1e-4) where standardised."""
    mean = math.fsum(rewards) / len(rewards)
    centred = [reward - mean for reward in rewards]
    if not standardised:
        return centred
    variance = math.fsum(value * value for value in centred) / (len(rewards) - 1)
    return [value / (math.sqrt(variance) + 1e-4) for value in centred]


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


def importance(token: Token, options: Options) -> float:
    if options.importance_cap is None:
        return 1.0
    return min(math.exp(token.old - token.sampler), options.importance_cap)


def k3(logprob: float, other: float) -> float:
    return math.exp(other - logprob) - (other - logprob) - 1


def surrogate(token: Token, options: Options) -> tuple[float, float]:
    """- min(ratio * A, clip(ratio) * A), and its derivative by the log-probability."""
    ratio = math.exp(token.logprob - token.old)
    clipped = min(max(ratio, 1 - options.clip_low), 1 + options.clip_high)
    if clipped * token.advantage < ratio * token.advantage:
        return -clipped * token.advantage, 0.0
    return -ratio * token.advantage, -ratio * token.advantage


def loss(tokens: Sequence[Token], options: Options) -> float:
    """sum of w * (importance * surrogate + kl_coef * k3)"""
    return math.fsum(
        token.weight
        * (importance(token, options) * surrogate(token, options)[0] + options.kl_coef * k3(token.logprob, token.ref))
        for token in tokens
    )


def gradient(tokens: Sequence[Token], options: Options) -> list[float]:
    """Derivative of the loss by each token's log-probability; d k3 / d logprob = 1 - exp(ref - logprob)."""
    return [
        token.weight
        * (
            importance(token, options) * surrogate(token, options)[1]
            + options.kl_coef * (1 - math.exp(token.ref - token.logprob))
        )
        for token in tokens
    ]
