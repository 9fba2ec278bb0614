"""The house is as its plan says: rooms that have a name, files of one subject, links that lead somewhere."""

import re

import pytest
from support.paths import ROOT

LAYERS = ("rewards", "rl", "eval", "recipes")
CODE = sorted(
    path.relative_to(ROOT)
    for folder in (*LAYERS, "scripts", "tests")
    for path in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in path.parts
)
PAGES = sorted(path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))


def test_a_file_has_fewer_than_300_lines():
    lengths = {str(path): (ROOT / path).read_text().count("\n") for path in CODE}
    assert len(lengths) > 250
    assert {path: length for path, length in lengths.items() if length >= 300} == {}


def test_a_folder_holds_a_dozen_modules_at_most():
    modules = {}
    for path in CODE:
        if path.name != "__init__.py":
            modules.setdefault(str(path.parent), []).append(path.name)
    assert {folder: names for folder, names in modules.items() if len(names) > 12} == {}


def test_the_rooms_of_the_architecture_are_the_folders_that_exist():
    """A room is a folder of a layer that holds files under version control: code, or the data beside it."""
    rooms = re.findall(r"^\| `(\w+/\w+)/` \|", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    folders = [
        f"{layer}/{folder.name}"
        for layer in LAYERS
        for folder in (ROOT / layer).iterdir()
        if folder.is_dir() and any(path.suffix != ".pyc" for path in folder.rglob("*") if path.is_file())
    ]
    assert sorted(rooms) == sorted(folders)


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_to_files_and_headings(page):
    links = re.findall(r"\]\((?!https?://)([^)\s]+)\)", (ROOT / page).read_text())
    lost = []
    for link in links:
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        if not (ROOT / target).exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


FILE = re.compile(
    r"`((?:rewards|rl|eval|recipes|tests|docs|scripts|requirements)/[\w./-]*(?:/|\.(?:py|md|yaml|sh|lock|in|override)))"
    r"(?:: [\w.]+|::\w+)?`"
)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=str)
def test_files_that_a_page_names_exist(page):
    """History may name what is gone; nothing else may."""
    assert [name for name in FILE.findall((ROOT / page).read_text()) if not (ROOT / name).exists()] == []
