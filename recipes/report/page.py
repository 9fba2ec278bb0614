"""The page: sections in their order, with what they need in one file that asks nobody for anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import metadata
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from doubleback.recipes.report.blocks import Section
from doubleback.recipes.report.markup import render, source_of
from doubleback.recipes.report.samples.section import Samples, samples_section

MOST_BYTES = 5_000_000
"""Of the file. What the other sections leave of it is for samples."""
POLICY = (
    "default-src 'none'; style-src {styles}; script-src {scripts}; img-src data:; base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands at the top."""

    kicker: str
    """What kind of report it is."""
    title: str
    subtitle: str
    written: str
    """What it is made of, and how that stood."""


@dataclass(frozen=True, slots=True)
class _Markup:
    """A section that brings its own markup."""

    name: str
    title: str
    markup: Markup


def page(
    heading: Heading,
    before: Sequence[Section],
    after: Sequence[Section],
    folders: Sequence[Path],
    most_samples: int | None = None,
) -> bytes:
    """The whole file: `before`, the samples of `folders`, `after`; it names the sections that have nothing to show.

    `most_samples`: of each step; None: all that fit.
    """
    bare = _page(heading, before, after, None)
    samples = samples_section(folders, MOST_BYTES - len(bare), most_samples)
    return bare if samples is None else _page(heading, before, after, samples)


def _page(heading: Heading, before: Sequence[Section], after: Sequence[Section], samples: Samples | None) -> bytes:
    styles = [_style(), *([samples.style] if samples else [])]
    script = samples.script if samples else ""
    shown = [] if samples is None else [_Markup("samples", "Samples", samples.markup)]
    left_out = ["Samples: there are none."] if samples is None else [*samples.left_out]
    sections = [section for section in (*before, *shown, *after) if not isinstance(section, Section) or section.blocks]
    left_out += [f"{section.title}: {section.intro}" for section in (*before, *after) if not section.blocks]
    text = render(
        "page.html",
        policy=POLICY.format(
            styles=" ".join(map(source_of, styles)), scripts=source_of(script) if script else "'none'"
        ),
        title=heading.title,
        kicker=heading.kicker,
        subtitle=heading.subtitle,
        written=f"{heading.written} {_written()}",
        styles=list(map(Markup, styles)),
        sections=sections,
        left_out=left_out,
        script=Markup(script),
    )
    return str(text).encode("utf-8", "backslashreplace")


def _written() -> str:
    return f"Written {datetime.now():%Y-%m-%d %H:%M} by doubleback {metadata.version('doubleback')}."


@cache
def _style() -> str:
    return (files("doubleback.recipes.report") / "templates" / "page.css").read_text(encoding="utf-8")
