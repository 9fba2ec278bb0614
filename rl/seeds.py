"""Seeds that depend on what is sampled, not on when: a resumed run draws what the uninterrupted one would."""

import hashlib
import random
from collections.abc import Iterator, Sequence

from doubleback.rewards.types import Problem


def sample_seed(run_seed: int, stage: str, problem_id: str) -> int:
    """Seed of a problem's first sample, 0 <= seed < 2**62; sample i of the group uses this plus i.

    `stage` is the training step or the name of an evaluation.
    """
    return int.from_bytes(hashlib.sha256(f"{run_seed}/{stage}/{problem_id}".encode()).digest()[:8]) >> 2


def problem_batches(problems: Sequence[Problem], batch_size: int, run_seed: int, start: int) -> Iterator[list[Problem]]:
    """Batches of problems from step `start` on (the first step is 1), endless, reshuffled every epoch.

    Stateless: the batch of a step depends on the seed and the step alone. An epoch's remainder is not dropped: batches
    run over the seam.
    """
    position = (start - 1) * batch_size
    while True:
        batch: list[Problem] = []
        while len(batch) < batch_size:
            epoch, index = divmod(position, len(problems))
            batch.append(problems[_order(len(problems), run_seed, epoch)[index]])
            position += 1
        yield batch


def _order(size: int, run_seed: int, epoch: int) -> list[int]:
    order = list(range(size))
    random.Random(f"{run_seed}/{epoch}").shuffle(order)
    return order
