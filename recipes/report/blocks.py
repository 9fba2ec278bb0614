"""What a section of the page is made of: values that say what is shown, and nothing of how it looks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head; the first column names the row."""

    caption: str
    columns: Row
    rows: Sequence[Row]
    is_numeric: bool = True
    """Whether all columns but the first hold numbers, and stand at the right."""
    note: str = ""

    kind: ClassVar[str] = "table"


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing, what it shows in a sentence, and the same figures as a table."""

    title: str
    of: str
    """What its vertical axis is of."""
    picture: Markup
    says: str
    """For who does not see it."""
    table: Table

    kind: ClassVar[str] = "chart"


@dataclass(frozen=True, slots=True)
class Note:
    """A paragraph."""

    text: str

    kind: ClassVar[str] = "note"


@dataclass(frozen=True, slots=True)
class Code:
    """Commands or a file, as they are."""

    title: str
    text: str

    kind: ClassVar[str] = "code"


@dataclass(frozen=True, slots=True)
class Card:
    """One figure of the headline."""

    label: str
    value: str
    detail: str


@dataclass(frozen=True, slots=True)
class Cards:
    """Figures beside one another."""

    cards: Sequence[Card]

    kind: ClassVar[str] = "cards"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that went wrong, or deserves a look."""

    level: str
    """wrong, look or fine."""
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Findings:
    """The worst first."""

    findings: Sequence[Finding]

    kind: ClassVar[str] = "findings"


@dataclass(frozen=True, slots=True)
class Cell:
    """One of a strip."""

    level: str
    """wrong, look or fine."""
    sign: str
    """What tells it without its colour."""
    text: str


@dataclass(frozen=True, slots=True)
class Strip:
    """Small cells in a row, and what they say together."""

    says: str
    cells: Sequence[Cell]

    kind: ClassVar[str] = "strip"


@dataclass(frozen=True, slots=True)
class Texts:
    """Two texts side by side, each with a label, under what they answer."""

    title: str
    texts: Sequence[tuple[str, str]]
    """(label, text)"""

    kind: ClassVar[str] = "texts"


@dataclass(frozen=True, slots=True)
class Folded:
    """Blocks that stay folded until somebody asks."""

    title: str
    blocks: "Sequence[Block]"

    kind: ClassVar[str] = "folded"


@dataclass(frozen=True, slots=True)
class Charts:
    """Charts beside one another."""

    charts: Sequence[Chart]

    kind: ClassVar[str] = "charts"


Block = Table | Chart | Note | Code | Cards | Findings | Strip | Texts | Folded | Charts


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it."""

    name: str
    """Of its anchor."""
    title: str
    blocks: Sequence[Block]
    intro: str = ""
