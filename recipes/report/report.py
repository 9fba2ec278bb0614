"""Which page a report is, by what lies in its folders, and which sections it has in which order."""

from collections.abc import Callable, Sequence
from pathlib import Path

from doubleback.recipes.report.blocks import Section
from doubleback.recipes.report.content import RunContent, read_runs
from doubleback.recipes.report.page import Heading, page
from doubleback.recipes.report.sections.headline import headline

RunSection = Callable[[Sequence[RunContent]], Section]
BEFORE: tuple[RunSection, ...] = (headline,)
AFTER: tuple[RunSection, ...] = ()
"""Sections before the samples and after them."""


def runs_report(folders: Sequence[Path]) -> bytes:
    """The page of one run, or of several side by side. ConfigError where a folder holds none."""
    runs = read_runs(folders)
    heading = _heading_of_one(runs[0]) if len(runs) == 1 else _heading_of_several(runs)
    return page(heading, [of(runs) for of in BEFORE], [of(runs) for of in AFTER], [run.path for run in runs])


def _heading_of_one(run: RunContent) -> Heading:
    state = run.state
    written = f"{state.word.capitalize()} at step {state.step} of {state.steps}."
    return Heading(f"doubleback run, kind {run.recipe['kind']}", run.label, run.recipe["description"], written)


def _heading_of_several(runs: Sequence[RunContent]) -> Heading:
    described = dict.fromkeys(str(run.recipe["description"]) for run in runs)
    title = " | ".join(run.label for run in runs)
    return Heading(f"{len(runs)} doubleback runs", title, "; ".join(described), "")
