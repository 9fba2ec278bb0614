"""How many threads each process of a run computes with: together no more than there are cores."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

ASKED = "OMP_NUM_THREADS"
"""The user's word, which holds for every process."""


def threads_each(num_processes: int, num_cores: int) -> int:
    """Of the cores as many for each process as there are for all, and one at least.

    More would wait for one another: two OpenMP threads beside another busy process are three to ten times slower than
    one.
    """
    return max(1, num_cores // num_processes)


@contextmanager
def sharing_cores(num_processes: int) -> Iterator[None]:
    """Within the block torch computes with this process's share of the cores; processes begun there take as many.

    Nothing changes for a process that is alone, or where the user said how many.
    """
    before = torch.get_num_threads()
    if num_processes > 1 and ASKED not in os.environ:
        torch.set_num_threads(threads_each(num_processes, len(os.sched_getaffinity(0))))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_words(num_engines: int, num_trainers: int = 0) -> str:
    """`1 for the trainer, 1 for each of 2 engines, of 2 cores`; what has a process of its own is counted."""
    threads, cores = torch.get_num_threads(), len(os.sched_getaffinity(0))
    said = f", as {ASKED} says" if ASKED in os.environ else ""
    parts = ["the trainer", *_each(num_engines, "engine")] if num_engines else ["trainer and engine in turn"]
    parts += _each(num_trainers, "gradient worker")
    return f"{', '.join(f'{threads} for {part}' for part in parts)}, of {cores} cores{said}"


def _each(number: int, what: str) -> list[str]:
    return [] if number == 0 else [f"the {what}" if number == 1 else f"each of {number} {what}s"]
