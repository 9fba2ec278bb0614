"""A run of many steps takes no more of the machine at its end than at its beginning."""

import gc
import os
import threading
from pathlib import Path

import psutil
import pytest
from support.loop import Loop
from support.processes import children

STEPS, WARM = 120, 40
"""As many steps, and those after which memory is looked at."""
BYTES_A_STEP = 10 << 10


def slope(points):
    """Of the line of least squares through (x, y)."""
    xs, ys = zip(*points, strict=True)
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a in xs)


def holds():
    """Descriptors, threads, children and files in shared memory, of this process alone: others have some there too."""
    process = psutil.Process()
    opened = [os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    mapped = [mapping.path for mapping in process.memory_maps(grouped=True)]
    shared = {path for path in (*opened, *mapped) if path.startswith("/dev/shm/")}
    return process.num_fds(), threading.active_count(), children(), shared


@pytest.mark.slow
@pytest.mark.parametrize("rollout", [{}, {"ahead": True}], ids=["in turns", "ahead"])
def test_nothing_grows_from_step_to_step(make_policy, tmp_path, rollout):
    sizes, held = [], []

    def look(step):
        for kept in (run.engine.asked, run.engine.events, run.reward.events, run.reward.judged, run.seen):
            kept.clear()  # what the stand-ins of this test write down
        if step >= WARM and step % 4 == 0:
            gc.collect()
            sizes.append((step, psutil.Process().memory_info().rss))
        if step in (WARM, STEPS):
            held.append(holds())
        return {}

    settings = {"checkpoint": {"every": 20, "keep": 2}, "last_step": STEPS, "num_problems": 7}
    run = Loop(make_policy(b_std=0.0), tmp_path / "run", rollout=rollout, evaluate=look, **settings)
    run.train(range(1, STEPS + 1))
    assert len(sizes) > 15
    assert slope(sizes) < BYTES_A_STEP
    first, last = held
    assert last[1:] == first[1:]
    assert last[0] <= first[0] + 2  # one that is open for a moment


def test_a_slope_is_seen():
    assert slope([(0, 5.0), (1, 7.0), (2, 9.0)]) == 2.0
    assert slope([(0, 5.0), (4, 5.0), (8, 5.0)]) == 0.0
