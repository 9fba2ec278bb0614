"""Seeds that depend on what is sampled, not on when: a resumed run draws what the uninterrupted one would."""

import hashlib
from collections import Counter
from collections.abc import Iterable


def sample_seed(run_seed: int, stage: str, problem_id: str, occurrence: int = 0) -> int:
    """Seed of a problem's first sample, 0 <= seed < 2**62; sample i of the group uses this plus i.

    `stage` is the training step or the name of an evaluation, `occurrence` how often the problem stood in it before.
    """
    again = f"\0{occurrence}" if occurrence else ""
    return int.from_bytes(hashlib.sha256(f"{run_seed}/{stage}/{problem_id}{again}".encode()).digest()[:8]) >> 2


def sample_seeds(run_seed: int, stage: str, problem_ids: Iterable[str], before: Iterable[str] = ()) -> list[int]:
    """The seed of each problem's first sample, behind those that the stage has sampled `before`.

    A problem may stand twice in a step, where there are few or an epoch ends: drawn with one seed, its second group
    would be the first over again.
    """
    seen = Counter(before)
    seeds = []
    for problem_id in problem_ids:
        seeds.append(sample_seed(run_seed, stage, problem_id, seen[problem_id]))
        seen[problem_id] += 1
    return seeds
