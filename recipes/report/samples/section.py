"""The section of the page in which samples are looked through."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup


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


def samples_section(folders: Sequence[Path], budget: int) -> Samples | None:
    """The samples of runs or evaluations in `budget` bytes; None where there are none."""
    return None
