"""The best and the worst samples of a step as a plain table, for who reads the page without JavaScript or on paper."""

from collections.abc import Sequence
from operator import itemgetter

from doubleback.recipes.report.blocks import Table
from doubleback.recipes.report.samples.files import TRAINING, SampleFile
from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.sample_lines import Line, num_tokens

NUM_SHOWN = 3
"""Samples of either kind."""
MOST_CHARACTERS = 400
"""Of a completion that is shown: its end, where the answer stands."""


def extremes_table(file: SampleFile) -> Table:
    """The samples with the highest and the lowest reward, one of a problem."""
    lines = [line for line in complete_lines(file.path) if line.get("score") is not None]
    ordered = sorted(lines, key=itemgetter("score"), reverse=True)
    best = _of_several_problems(ordered)
    worst = [line for line in _of_several_problems(ordered[::-1]) if line not in best]
    where = f"of step {file.step}" if file.set == TRAINING else f"of {file.set} at step {file.step}"
    rows = [("best", line) for line in best] + [("worst", line) for line in worst]
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
        note=f"{len(lines):,} samples were judged in this step.",
    )


def _of_several_problems(lines: Sequence[Line]) -> list[Line]:
    first: dict[str, Line] = {}
    for line in lines:
        first.setdefault(str(line["problem"]), line)
    return list(first.values())[:NUM_SHOWN]


def _end(line: Line) -> str:
    text = str(line["completion"])
    return text if len(text) <= MOST_CHARACTERS else f"... {text[-MOST_CHARACTERS:]}"
