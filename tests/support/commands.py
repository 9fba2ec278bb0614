"""The command line in this process: calling it, and what it prints and writes."""

import sys

import pytest

from doubleback.rl.run.metrics import TIMED
from support.paths import FEW_COUNTDOWN

SMALL_COUNTDOWN = [
    f"task.name={FEW_COUNTDOWN}",
    "rollout.prompts_per_step=2",
    "sampling.group_size=4",
    "sampling.max_tokens=32",
    "reward.components.overlong.args.buffer=16",
]
"""Overrides with which a step of a countdown recipe takes a moment."""


def call(*arguments):
    """Call the program with these arguments in this process; returns its exit code.

    For all that does not ask how a process ends: one of its own imports torch and vLLM anew, 8 s of a processor.
    """
    from doubleback.recipes.commands.cli import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["doubleback", *map(str, arguments)])
        try:
            main()
        except SystemExit as stop:
            return stop.code or 0
    return 0


def errors(err):
    """The lines that name a mistake of the user."""
    return [line for line in err.splitlines() if line.startswith("error:")]


def untimed(line):
    """Metrics of a step without those that differ between two runs of one seed."""
    return {name: value for name, value in line.items() if not name.startswith(TIMED)}
