"""Seeds that depend on what is sampled, not on when: a resumed run draws what the uninterrupted one would."""

import hashlib


def sample_seed(run_seed: int, stage: str, problem_id: str) -> int:
    """Seed of a problem's first sample, 0 <= seed < 2**62; sample i of the group uses this plus i.

    `stage` is the training step or the name of an evaluation.
    """
    return int.from_bytes(hashlib.sha256(f"{run_seed}/{stage}/{problem_id}".encode()).digest()[:8]) >> 2
