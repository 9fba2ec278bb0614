"""The section of the page in which samples are looked through."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from doubleback.recipes.report.blocks import Table
from doubleback.recipes.report.content import distinct
from doubleback.recipes.report.markup import render
from doubleback.recipes.report.samples.encode import MOST_CHARACTERS
from doubleback.recipes.report.samples.extremes import extremes_table
from doubleback.recipes.report.samples.files import TRAINING, Origin, files_of, origin_of
from doubleback.recipes.report.samples.fitting import Chosen, Fitting, chosen, problems_of
from doubleback.rewards.visible import HIDDEN, JOINERS, KEPT

MOST_NAMED = 8
"""Steps that are left out which are named; the others are counted."""


@dataclass(frozen=True, slots=True)
class Samples:
    """The section with all that it needs: no byte comes from elsewhere."""

    markup: Markup
    """One <section id="samples">, its data in it."""
    style: str
    """CSS; the page allows it by its hash."""
    script: str
    """JavaScript; the page allows it by its hash."""
    left_out: tuple[str, ...]
    """What did not fit, a sentence each."""


def samples_section(folders: Sequence[Path], budget: int, most: int | None = None) -> Samples | None:
    """The samples of runs or evaluations in `budget` bytes; None where there are none.

    `most`: samples of each step, in whole groups; None: all that fit. A file is read once a process, so that a page
    that is written again and again costs what is new.
    """
    labels = distinct(folders)
    origins = [origin_of(folder) for folder in folders]
    found = [(index, file) for index, folder in enumerate(folders) for file in files_of(folder)]
    style, script = _asset("samples.css"), _asset("samples.js")
    if not found:
        return None
    # Training before what was measured at the same step.
    _, newest = max(found, key=lambda each: (each[1].step, each[1].set == TRAINING))
    extremes = extremes_table(newest)
    frame = len(style) + len(script) + len(_markup(labels, origins, [], extremes).encode("utf-8", "backslashreplace"))
    kept = chosen(found, origins, most, budget - frame)
    return Samples(_markup(labels, origins, kept.files, extremes), style, script, tuple(_left_out(kept)))


def _markup(labels: Sequence[str], origins: Sequence[Origin], kept: Sequence[Chosen], extremes: Table) -> Markup:
    header = {
        "hidden": _hidden(),
        "sources": [{"label": label, "weights": origin.weights} for label, origin in zip(labels, origins, strict=True)],
        "files": [
            {
                "source": each.source,
                "set": each.file.set,
                "step": each.file.step,
                "signals": each.packed.signals if each.has_tokens else (),
            }
            for each in kept
        ],
    }
    # In a script's element markup is none, but for what ends it.
    text = Markup(json.dumps(header).replace("<", "\\u003c"))
    return render("samples.html", header=text, data=list(_data(origins, kept)), extremes=extremes)


def _hidden() -> str:
    """What `visible` writes out, as a pattern of JavaScript."""
    kept = "".join(f"\\u{ord(character):04x}" for character in KEPT + JOINERS)
    categories = "".join(f"\\p{{{category}}}" for category in HIDDEN)
    return f"(?![{kept}])[{categories}]"


def _data(origins: Sequence[Origin], kept: Sequence[Chosen]) -> Iterator[tuple[str, str]]:
    for source, origin in enumerate(origins):
        names = dict.fromkeys(name for each in kept if each.source == source for name in each.packed.problems)
        yield f"problems-{source}", problems_of(origin, list(names))
    for index, each in enumerate(kept):
        yield f"rows-{index}", each.packed.rows
        yield f"texts-{index}", each.packed.texts
        if each.has_tokens:
            yield f"tokens-{index}", each.packed.tokens


def _left_out(kept: Fitting) -> Iterator[str]:
    """What of the samples is not in the page, a sentence each."""
    if kept.left_out:
        num_files = len(kept.left_out) + len(kept.files)
        steps = ", ".join(f"{file.set} {file.step}" for file in kept.left_out[:MOST_NAMED])
        more = f" and {len(kept.left_out) - MOST_NAMED} more" if len(kept.left_out) > MOST_NAMED else ""
        yield f"Samples: {len(kept.left_out)} of {num_files} steps and measurements did not fit ({steps}{more})."
    if num := sum(bool(each.packed.tokens) and not each.has_tokens for each in kept.files):
        yield f"Samples: what is known of each token did not fit for {num} of {len(kept.files)} steps and measurements."
    if num := sum(each.packed.num_left_out for each in kept.files):
        yield f"Samples: {num:,} were left out, whole groups of each step; doubleback report has as many as fit."
    if num := sum(each.packed.num_cut for each in kept.files):
        yield f"Samples: the middle of {num:,} completions of more than {MOST_CHARACTERS:,} characters."


@cache
def _asset(name: str) -> str:
    return (files("doubleback.recipes.report.samples") / name).read_text(encoding="utf-8")
