"""Foreign text as a terminal, or a page, may be given it."""

import unicodedata

KEPT = "\n\t"
JOINERS = "\u200c\u200d"
"""Of the characters without a form the two that letters and emoji are written with."""
HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Categories of what is obeyed, reorders, is not shown or cannot be encoded."""


def visible(text: str) -> str:
    r"""The text with every character that a terminal or a browser would obey, or hide, written out: `\x1b[2J` for a
    cleared screen.

    Control characters but newline and tab, lone surrogates, which cannot be encoded, what changes the direction, and
    what is not seen: a space without width, a soft hyphen, a tag.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_written_out(character) if _is_hidden(character) else character for character in text)


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in HIDDEN and character not in KEPT and character not in JOINERS


def _written_out(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
