"""Processes that a test starts or meets: who they are, and waiting for them. The deadline is that of the test."""

import time
from contextlib import suppress

import psutil


def below(pid):
    """The numbers of all processes that descend from this one and have not ended."""
    with suppress(psutil.NoSuchProcess):
        return {child.pid for child in psutil.Process(pid).children(recursive=True) if is_alive(child.pid)}
    return set()


def children():
    """The numbers of the processes that this one has started and that have not ended."""
    return {child.pid for child in psutil.Process().children() if is_alive(child.pid)}


def command_lines(pid):
    """The processes that this one has started and that have not ended, each with its command line."""
    lines = {}
    for child in psutil.Process(pid).children():
        with suppress(psutil.NoSuchProcess):  # of which one that has ended and was not yet waited for is a kind
            lines[child] = " ".join(child.cmdline())
    return lines


def is_alive(pid):
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def wait_until(condition, process=None):
    """Look again and again until `condition()`; a `process` (a Popen) that ends before is a failure."""
    while not condition():
        assert process is None or process.poll() is None, "the process ended before what was waited for"
        time.sleep(0.02)


def wait_for_end(pids):
    """Wait until none of these processes is left."""
    wait_until(lambda: not any(map(is_alive, pids)))


def kill(pids):
    """End what a failed test would leave behind."""
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()
