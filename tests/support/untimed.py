"""Metrics of a step without those that differ between two runs of one seed."""

from doubleback.rl.run.metrics import TIMED


def untimed(line):
    return {name: value for name, value in line.items() if not name.startswith(TIMED)}
