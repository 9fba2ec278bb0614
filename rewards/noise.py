"""A reward that knows nothing: the control that must not teach anything."""

import hashlib
from typing import Any


def random_reward(completions: list[Any], sample_seeds: list[int], **columns: Any) -> list[float | None]:
    """0 or 1 with even odds for each sample, from its seed alone: independent of the text, equal when the run is resumed."""
    return [float(hashlib.sha256(f"random-reward/{seed}".encode()).digest()[0] & 1) for seed in sample_seeds]
