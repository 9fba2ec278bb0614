"""A reward that knows nothing: the control that must not teach anything."""

import hashlib
from typing import Any


def random_reward(completions: list[Any], sample_seeds: list[int], **columns: Any) -> list[float | None]:
    """0 or 1 with even odds, from each sample's seed alone: independent of the text, the same after a resume."""
    return [float(hashlib.sha256(f"random-reward/{seed}".encode()).digest()[0] & 1) for seed in sample_seeds]
