"""matplotlib's SVG as a part of the page: colours become classes that follow light and dark, and no style is inline.

The page's content security policy refuses style attributes. What they say becomes attributes of SVG; colours, which a
drawing names by the placeholders of `INKS`, become classes of the page's style sheet.
"""

import re
from collections.abc import Iterator
from itertools import count
from xml.etree import ElementTree

from markupsafe import Markup

SERIES = tuple(f"#0000a{number}" for number in range(6))
"""Placeholders of the colours of what is drawn: classes fill-0 and line-0, and so on."""
TEXT, GRID, FRAME = "#0000b0", "#0000b1", "#0000b2"
INKS = {**{ink: str(number) for number, ink in enumerate(SERIES)}, TEXT: "text", GRID: "grid", FRAME: "frame"}
"""Placeholder -> the end of its class."""
SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
DROPPED = (f"{SVG}metadata", f"{SVG}style")
SIZE = re.compile(r"([\d.]+)px")
_numbers = count()


def part_of_the_page(drawing: str, label: str) -> Markup:
    """The drawing without what only a file of its own needs, named by `label` for who does not see it.

    Its ids are not those of another drawing of the page.
    """
    root = ElementTree.fromstring(drawing)
    prefix = f"chart{next(_numbers)}-"
    used = set(_references(root))
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in DROPPED]:
            parent.remove(child)
    for element in root.iter():
        _rename(element, prefix, used)
        _unstyle(element)
        element.tag = element.tag.removeprefix(SVG)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", label)
    text = ElementTree.tostring(root, encoding="unicode")
    return Markup(re.sub(r"\s*\n\s*", " ", text))


def _references(root: ElementTree.Element) -> Iterator[str]:
    for element in root.iter():
        for name, value in element.attrib.items():
            if name == f"{XLINK}href":
                yield value.removeprefix("#")
            elif found := re.search(r"url\(#([^)]+)\)", value):
                yield found[1]


def _rename(element: ElementTree.Element, prefix: str, used: set[str]) -> None:
    """Only ids that something refers to are kept, under names of this drawing alone."""
    if (own := element.attrib.pop("id", None)) in used:
        element.set("id", f"{prefix}{own}")
    if (target := element.attrib.pop(f"{XLINK}href", None)) is not None:
        element.set("href", f"#{prefix}{target.removeprefix('#')}")
    if (clip := element.get("clip-path")) is not None:
        element.set("clip-path", clip.replace("url(#", f"url(#{prefix}"))


def _unstyle(element: ElementTree.Element) -> None:
    classes = []
    for declaration in element.attrib.pop("style", "").split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name in ("fill", "stroke") and value in INKS:
            classes.append(f"{'fill' if name == 'fill' else 'line'}-{INKS[value]}")
        elif name == "font":
            element.set("font-size", SIZE.search(value)[1])  # type: ignore[index]
        elif name:
            element.set(name, value)
    if classes:
        element.set("class", " ".join(classes))
