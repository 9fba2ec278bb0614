"""Which page a report is, by what lies in its folders, and which sections it has in which order."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from doubleback.eval.compare import SUMMARY, compare, load_evaluated
from doubleback.recipes.report.blocks import Block, Section
from doubleback.recipes.report.content import RunContent, distinct, read_runs
from doubleback.recipes.report.page import Heading, page
from doubleback.recipes.report.sections import measured
from doubleback.recipes.report.sections.commands import commands
from doubleback.recipes.report.sections.costs import costs
from doubleback.recipes.report.sections.curves import curves
from doubleback.recipes.report.sections.experts import experts
from doubleback.recipes.report.sections.headline import headline
from doubleback.recipes.report.sections.looks import looks
from doubleback.recipes.report.sections.machine import environment
from doubleback.recipes.report.sections.pair import compared_result, flips
from doubleback.recipes.report.sections.receipts import receipts
from doubleback.recipes.report.sections.rewards import rewards
from doubleback.recipes.report.sections.settings import settings
from doubleback.rewards.types import ConfigError
from doubleback.rl.run.names import is_run

RunSection = Callable[[Sequence[RunContent]], Section]
BEFORE: tuple[RunSection, ...] = (headline, looks, receipts, curves, rewards, experts, costs)
AFTER: tuple[RunSection, ...] = (settings, environment, commands)
"""Sections before the samples and after them."""


def report_of(
    folders: Sequence[Path],
    tables: Sequence[Block] = (),
    title: str | None = None,
    most_samples: int | None = None,
) -> bytes:
    """The page of these folders: runs, or one evaluation, or two; a run beside an evaluation is none of these.

    `tables` go before the headline's own, and `title` stands for the names of the runs; `most_samples` are shown of
    each step of a run, None: all that fit. ConfigError where that is not what the folders hold.
    """
    evaluations = [folder for folder in folders if not is_run(folder) and (folder / SUMMARY).exists()]
    if not evaluations:
        return _runs(folders, tables, title, most_samples)
    if others := [folder for folder in folders if folder not in evaluations]:
        raise ConfigError(f"{others[0]} is no evaluation, and {evaluations[0]} is one; give runs alone or these alone")
    if len(evaluations) > 2:
        raise ConfigError(f"{len(evaluations)} evaluations are too many for one page; give one, or two to compare")
    return _evaluations(evaluations)


def _runs(folders: Sequence[Path], tables: Sequence[Block], title: str | None, most_samples: int | None) -> bytes:
    runs = read_runs(folders)
    heading = _heading_of_one(runs[0]) if len(runs) == 1 else _heading_of_several(runs)
    heading = heading if title is None else replace(heading, title=title)
    before = [of(runs) for of in BEFORE]
    before[0] = Section(before[0].name, before[0].title, [*tables, *before[0].blocks])
    return page(heading, before, [of(runs) for of in AFTER], [run.path for run in runs], most_samples)


def _heading_of_one(run: RunContent) -> Heading:
    state = run.state
    place = "" if run.recipe["kind"] == "sample" else f" at step {state.step} of {state.steps}"
    written = f"{state.word.capitalize()}{place}."
    return Heading(f"doubleback run, kind {run.recipe['kind']}", run.label, run.recipe["description"], written)


def _heading_of_several(runs: Sequence[RunContent]) -> Heading:
    described = dict.fromkeys(str(run.recipe["description"]) for run in runs)
    title = ", ".join(run.label for run in runs)
    return Heading(f"{len(runs)} doubleback runs", title, "; ".join(described), "")


def _evaluations(folders: Sequence[Path]) -> bytes:
    labels = distinct(folders)
    items = [measured.Measured(label, load_evaluated(path)) for label, path in zip(labels, folders, strict=True)]
    suites = ", ".join(dict.fromkeys(str(item.summary["suite"]) for item in items))
    sections = [measured.curves(items), measured.asked(items), measured.commands(items)]
    if len(items) == 1:
        heading = Heading("doubleback evaluation", labels[0], f"The suite {suites}: {items[0].size}.", "")
        before = [measured.result(items[0]), measured.looks(items, {}), sections[0]]
    else:
        compared = compare(items[0].evaluated, items[1].evaluated)
        title = f"{labels[0]} (A) and {labels[1]} (B)"
        heading = Heading("two doubleback evaluations", title, f"The suite {suites}.", "")
        before = [compared_result(items, compared), measured.looks(items, compared.differs), flips(items, compared)]
        before.append(sections[0])
    return page(heading, before, sections[1:], folders)
