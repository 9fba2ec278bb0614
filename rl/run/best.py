"""Where a run stands by the metric of `checkpoint.best`: read from its lines, so that a resume changes nothing."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from doubleback.rl.config import CheckpointConfig


@dataclass(frozen=True, slots=True)
class Best:
    """Which step is the best so far, and for how long."""

    best_step: int | None
    """The first trained step at which the metric was highest; None before there is one."""
    value: float
    """Of the metric there; minus infinity before."""
    num_since: int
    """Evaluations after it, none of which was higher. One that is undefined (NaN) is never an improvement."""


def best_so_far(lines: Iterable[Mapping[str, Any]], metric: str) -> Best:
    """Where the lines of metrics.jsonl stand by `metric`. Step 0, which has no checkpoint, does not count.

    Of .4 at step 2, .6 at step 4, undefined at step 6 and .6 at step 8: step 4, and two evaluations since.
    """
    best = Best(None, -math.inf, 0)
    for line in lines:
        if line["step"] == 0 or metric not in line:
            continue
        value = line[metric]
        # So put, what is undefined, null or NaN, is no improvement.
        if value is not None and value > best.value:
            best = Best(line["step"], value, 0)
        else:
            best = Best(best.best_step, best.value, best.num_since + 1)
    return best


def best_step(lines: Iterable[Mapping[str, Any]], config: CheckpointConfig) -> int | None:
    """The step whose checkpoint is never deleted; None where there is none, or none is asked for."""
    return None if config.best is None else best_so_far(lines, config.best).best_step


def has_stalled(lines: Iterable[Mapping[str, Any]], config: CheckpointConfig) -> bool:
    """Whether `checkpoint.patience` evaluations in a row have brought no improvement."""
    if config.best is None or config.patience is None:
        return False
    return best_so_far(lines, config.best).num_since >= config.patience
