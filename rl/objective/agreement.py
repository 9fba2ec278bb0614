"""How far the log-probabilities of trainer and engine are apart on the same tokens: one rule, used by every guard.

A guard goes on only if `quantile_abs <= bound`. What cannot be measured is NaN, which is under no bound: it stops.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

QUANTILE = 0.98
"""Share of tokens on which engine and trainer must agree. Not all: a router that is undecided between two experts may
choose differently on the two sides for a single token. An adapter that is missing, stale or partial moves far more."""


@dataclass(frozen=True, slots=True)
class Gap:
    """|trainer - engine| log-probability over some tokens, in nats. NaN for no tokens, or where one is not finite."""

    num_tokens: int
    mean_abs: float
    max_abs: float
    quantile_abs: float
    """What 98 % of the tokens keep (`QUANTILE`)."""

    @property
    def in_words(self) -> str:
        """What the tokens do, for an error: "differ by up to 0.31 nats"."""
        if math.isnan(self.quantile_abs):
            return "cannot be compared: not every log-probability is finite" if self.num_tokens else "are none"
        return f"differ by up to {self.quantile_abs:.2g} nats"


def gap_between(left: Sequence[Sequence[float]], right: Sequence[Sequence[float]]) -> Gap:
    """The gap between two lists of sequences' log-probabilities. ValueError where their shapes differ.

    Example: ((-1.0, -2.0), (-3.0,)) and ((-1.5, -2.0), (-3.25,)) are 0.5, 0.0 and 0.25 nats apart: mean 0.25, max 0.5.
    """
    pairs = zip(left, right, strict=True)
    gaps = sorted(abs(a - b) for first, second in pairs for a, b in zip(first, second, strict=True))
    quantile = quantile_gap(gaps)
    if math.isnan(quantile):
        return Gap(len(gaps), math.nan, math.nan, math.nan)
    return Gap(len(gaps), sum(gaps) / len(gaps), gaps[-1], quantile)


def largest(values: Sequence[float]) -> float:
    """The maximum; NaN for no values, or where one is NaN, which `max` hides behind what it meets first."""
    return math.nan if not values or any(map(math.isnan, values)) else max(values)


def quantile_gap(gaps: Sequence[float]) -> float:
    """The largest absolute gap that `QUANTILE` of the tokens keep; NaN for no tokens, or where one is not finite.

    Example: of 100 tokens with gaps 1, 2, ... 100, 98 are at most 98.0 apart.
    """
    # A NaN has no place in an order: sorted among others, it may stand anywhere and hide behind them.
    if not gaps or not all(map(math.isfinite, gaps)):
        return math.nan
    return sorted(gaps)[max(0, round(QUANTILE * len(gaps)) - 1)]
