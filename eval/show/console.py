"""The terminal, as everything that is shown reaches it: foreign text is text, never markup, never a command.

A completion may hold `[/INST]`, which rich would read as markup, or escape sequences, which a terminal would obey. So
markup is off, and what is left of control characters is written out as Python would. Everything goes through here; ruff
bans rich's own Console and what reads markup elsewhere.
"""

from collections.abc import Iterable
from typing import Any

from rich.console import Console as RichConsole  # noqa: TID251 - the one place
from rich.console import ConsoleOptions, RenderableType
from rich.panel import Panel as RichPanel  # noqa: TID251 - the one place
from rich.segment import Segment
from rich.status import Status
from rich.text import Text

from doubleback.rewards.visible import visible


class Console(RichConsole):
    """rich's console without markup and emoji codes; what it writes holds no control character of foreign text."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """The text as it is laid out, control characters written out before their width is taken."""
        return super().render_str(visible(text), **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of anything; the last place through which all of it goes."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)

    def status(self, status: RenderableType, **settings: Any) -> Status:
        """A spinner with a text, as it is."""
        return super().status(Text(visible(status)) if isinstance(status, str) else status, **settings)

    def say(self, label: str, text: str, style: str) -> None:
        """A line that begins with a label in that style."""
        self.print(Text.assemble((label, style), " ", visible(text)))


def panel(content: Text, title: str) -> RichPanel:
    """A frame around a text, with a title at its left."""
    return RichPanel(content, title=Text(visible(title)), title_align="left")
