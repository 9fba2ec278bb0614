"""The best and the worst samples of a step as a plain table, for who reads the page without JavaScript or on paper."""

from collections.abc import Sequence
from typing import Any

from doubleback.recipes.report.blocks import Table
from doubleback.recipes.report.samples.files import TRAINING, SampleFile
from doubleback.recipes.report.stored import StoredLines
from doubleback.rewards.sample_lines import Line, num_tokens

NUM_SHOWN = 3
"""Samples of either kind."""
MOST_CHARACTERS = 400
"""Of a completion that is shown: its end, where the answer stands."""


def extremes_table(file: SampleFile) -> Table:
    """The samples with the highest and the lowest reward, one of a problem."""
    stored = StoredLines(file.path)
    problems, scores = stored.values("problem"), stored.values("score")
    judged = [place for place, score in enumerate(scores) if score is not None]
    ordered = sorted(judged, key=scores.__getitem__, reverse=True)
    best = _of_several_problems(ordered, problems)
    worst = [place for place in _of_several_problems(ordered[::-1], problems) if place not in best]
    where = f"of step {file.step}" if file.set == TRAINING else f"of {file.set} at step {file.step}"
    rows = [(kind, stored.line(place)) for kind, places in (("best", best), ("worst", worst)) for place in places]
    return Table(
        caption=f"Best and worst samples {where}",
        columns=("", "problem", "verdict", "reward", "tokens", "completion"),
        rows=[
            (
                kind,
                str(line["problem"]),
                str(line["verdict"]),
                f"{line['score']:.3g}",
                str(num_tokens(line)),
                _end(line),
            )
            for kind, line in rows
        ],
        is_numeric=False,
        note=f"{len(judged):,} samples were judged in this step.",
    )


def _of_several_problems(places: Sequence[int], problems: Sequence[Any]) -> list[int]:
    """The first places, of a problem one."""
    first: dict[Any, int] = {}
    for place in places:
        first.setdefault(problems[place], place)
    return list(first.values())[:NUM_SHOWN]


def _end(line: Line) -> str:
    text = str(line["completion"])
    return text if len(text) <= MOST_CHARACTERS else f"... {text[-MOST_CHARACTERS:]}"
