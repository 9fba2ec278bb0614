"""The learning rate of a step, as a share of its peak: warm-up, then constant, linear or along a cosine."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

FALLS: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {
        "constant": lambda progress: 1.0,
        "linear": lambda progress: 1.0 - progress,
        "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),  # SGDR, arXiv:1608.03983, eq. 5
    }
)
"""`optim.schedule` -> share of the peak at a progress of 0 (the peak) to 1 (where it would be 0)."""


def share_of_peak(step: int, schedule: str, warmup_steps: int, num_steps: int) -> float:
    """Share of the peak rate at `step`, the first being 1, of `num_steps`.

    Step w + 1 behind `warmup_steps` = w is the peak. From there the rate falls towards 0, which it would reach one step
    after the last, so that no step is without effect: of 5 steps with w = 1 a linear one gives 1/2, 1, 3/4, 1/2, 1/4.
    """
    if step <= warmup_steps:
        return step / (warmup_steps + 1)
    return FALLS[schedule]((step - 1 - warmup_steps) / max(num_steps - warmup_steps, 1))
