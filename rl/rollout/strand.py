"""What the problems of a strand are called in a run of several: its name before their ids. Loads no torch."""

from dataclasses import replace

from doubleback.rewards.types import Problem

SEPARATOR = "/"
"""Between the name of a strand and the id that a problem has in it."""


def in_strand(problem: Problem, strand: str) -> Problem:
    """The problem under its name in a mixture."""
    return replace(problem, id=f"{strand}{SEPARATOR}{problem.id}")


def strand_of(problem_id: str) -> str:
    """The strand that a problem of a mixture belongs to, by its id."""
    return problem_id.partition(SEPARATOR)[0]


def id_in_strand(problem_id: str) -> str:
    """The id that a problem of a mixture has in its strand."""
    return problem_id.partition(SEPARATOR)[2]
