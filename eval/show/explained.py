"""What several graders say of the same rows, for the terminal."""

from collections.abc import Sequence

from rich.table import Table

from doubleback.rewards.checks.graders import GRADERS, Explained, answer_of, disagreements
from doubleback.rewards.compose.fault_limit import shorten

MAX_SHOWN = 20
"""Rows that differ; all of them stand in the file."""


def differing_table(explained: Sequence[Explained]) -> Table:
    """The first rows on which the graders differ: the answer that each has found, its verdict and its rule."""
    differing = [item for item in explained if item.differs]
    shown = f", the first {MAX_SHOWN}" if len(differing) > MAX_SHOWN else ""
    title = f"{len(differing):,} of {len(explained):,} rows on which the graders differ{shown}"
    table = Table(title=title, title_justify="left", box=None)
    for column in ("line", "gold", "grader", "answer", "verdict", "rule"):
        table.add_column(column, overflow="fold")
    for item in differing[:MAX_SHOWN]:
        for place, name in enumerate(GRADERS):
            score = item.scores[name]
            head = (
                (str(item.graded.stored.row.number), shorten(str(answer_of(item.graded)))) if place == 0 else ("", "")
            )
            answer = "-" if score.extracted is None else shorten(score.extracted)
            table.add_row(*head, name, answer, score.verdict, shorten(score.detail))
    return table


def disagreement_table(explained: Sequence[Explained]) -> Table:
    """How often which graders differ, and by which rule of ours."""
    table = Table(title="disagreements by kind", title_justify="left", box=None)
    for column in ("rows", *GRADERS, "rule of ours"):
        table.add_column(column, justify="right" if column == "rows" else "left", overflow="fold")
    for (*verdicts, rule), count in disagreements(explained):
        table.add_row(f"{count:,}", *verdicts, shorten(rule))
    return table
