"""What the command line prints and writes, for tests."""

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


def errors(err):
    """The lines that name a mistake of the user."""
    return [line for line in err.splitlines() if line.startswith("error:")]


def untimed(line):
    """Metrics of a step without those that differ between two runs of one seed."""
    return {name: value for name, value in line.items() if not name.startswith(TIMED)}
