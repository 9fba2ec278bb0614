"""Runs of the program in processes of their own, small enough to be killed and gone on with, and what they left."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from support.commands import call, untimed
from support.processes import wait_until

STEPS = 8
OVERRIDES = [
    f"steps={STEPS}",
    "rollout.prompts_per_step=4",
    "sampling.group_size=4",
    "sampling.max_tokens=48",
    "reward.components.overlong.args.buffer=16",
    "checkpoint.every=2",
    "eval.every=4",
    "eval.n=2",
    "eval.k=[1,2]",
    "eval.test_problems=8",
    "eval.validation_problems=4",
    "eval.validation_n=2",
    "sync.num_canaries=2",
]


def command(out, *more):
    return [sys.executable, "-m", "doubleback.recipes", "train", "countdown", *OVERRIDES, "--out", str(out), *more]


def run_to_the_end(out, *more):
    """In this process, which may have had other engines before: what goes on in it is as good as in a new one."""
    assert call(*command(out, *more)[3:]) == 0


def run_apart(out, *more):
    done = subprocess.run(command(out, *more), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


MARK = "DOUBLEBACK_TEST_RUN"
"""Variable by which the processes of a run are known, whatever else the machine is doing."""


def processes_of(out):
    """Those of the run that was started with this folder."""
    marked = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == str(out):
                marked.append(process)
    return marked


def kill_in_step(out, step, delay, *more):
    """Start, wait until `step` is recorded, a little longer, kill -9."""
    process = subprocess.Popen(
        command(out, *more), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, MARK: str(out)}
    )
    metrics = Path(out) / "metrics.jsonl"
    try:
        wait_until(lambda: metrics.exists() and len(metrics.read_text().splitlines()) > step, process)
        time.sleep(delay)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL


def untimed_metrics(out):
    return [untimed(json.loads(line)) for line in (Path(out) / "metrics.jsonl").read_text().splitlines()]


def rollouts(out):
    return {path.name: gzip.decompress(path.read_bytes()) for path in sorted((Path(out) / "rollouts").iterdir())}


def evaluations(out):
    return {path.name: path.read_bytes() for path in sorted((Path(out) / "eval").iterdir())}


def final_adapter(out):
    return (Path(out) / "checkpoints" / f"step-{STEPS:05d}" / "adapter_model.safetensors").read_bytes()
