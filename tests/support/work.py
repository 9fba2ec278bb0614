"""How much work a call is, in measures that a busy machine does not change: calls, and CPU time against CPU time."""

import sys
import time
from itertools import pairwise

SIZES = (4_000, 32_000, 256_000)
"""Each is eight times the one before: what is linear then takes eight times as long, what is quadratic 64 times."""
SLACK = 3.0
"""Times the growth of the size, for caches and for what is spent once."""
TRIES = 5
"""One within the limit is enough: noise makes a call slower, never faster."""


def num_calls(action):
    """The function calls, Python's and C's, that `action()` makes: the same number on every machine."""
    total = 0

    def count(frame, event, argument):
        nonlocal total
        total += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(before)
    return total


def cpu_seconds(action):
    """What this thread computes for `action()`: the time that others have the processor does not count."""
    start = time.thread_time()
    action()
    return time.thread_time() - start


def require_linear(action, make, sizes=SIZES):
    """Fail if the CPU time of `action(make(size))` grows faster than the size from one of the sizes to the next."""
    inputs = [make(size) for size in sizes]
    for (small, before), (large, after) in pairwise(zip(sizes, inputs, strict=True)):
        growths = []
        for _ in range(TRIES):
            # What is done in less than a fifth of a millisecond is not measured but bounded.
            base = max(cpu_seconds(lambda before=before: action(before)), 2e-4)
            growths.append(cpu_seconds(lambda after=after: action(after)) / base)
            if growths[-1] <= SLACK * large / small:
                break
        assert min(growths) <= SLACK * large / small, (
            f"{large / small:g} times the input takes at least {min(growths):.0f} times as long"
        )
