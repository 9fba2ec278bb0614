"""Build the docs site into build/site: docs/, the pages of the repository's root, and the reference, in one tree.

    python scripts/site/build.py [FOLDER]

Strict: a link, an anchor or a picture that is not there ends it with exit code 1.
"""

import re
import shutil
import sys
from pathlib import Path

import yaml
from sphinx.cmd.build import build_main

sys.path.insert(0, str(Path(__file__).parents[1]))  # write_docs.py
sys.path.insert(0, str(Path(__file__).parent))

from reference import REFERENCE

ROOT = Path(__file__).parents[2]
ROOT_PAGES = ("ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md")
FURTHER = "How-to"
"""The section of pages that docs/nav.yaml does not name."""
LINK = re.compile(r"(?<=\]\()docs/")


def write_tree(folder: Path) -> None:
    """The site's pages in `folder`. Those of the root lie beside those of docs/ there, and links are as if they did."""
    shutil.copytree(ROOT / "docs", folder, ignore=shutil.ignore_patterns("__pycache__"))
    for page in sorted(folder.rglob("*.md")):
        up = "../" * len(page.relative_to(folder).parents)
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace(f"]({up}", f"]({up.removesuffix('../')}"), encoding="utf-8")
    for name in ROOT_PAGES:
        (folder / name).write_text(LINK.sub("", (ROOT / name).read_text(encoding="utf-8")), encoding="utf-8")
    for name, make in REFERENCE.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(make(), encoding="utf-8")
    readme = LINK.sub("", (ROOT / "README.md").read_text(encoding="utf-8"))
    sections = yaml.safe_load((ROOT / "docs" / "nav.yaml").read_text(encoding="utf-8"))
    named = {name for pages in sections.values() for name in pages}
    there = {page.relative_to(folder).with_suffix("").as_posix() for page in folder.rglob("*.md")}
    sections[FURTHER] += sorted(there - named)
    contents = "".join(_contents(caption, pages) for caption, pages in sections.items())
    (folder / "index.md").write_text(readme + contents, encoding="utf-8")


def _contents(caption: str, pages: list[str]) -> str:
    """A section of the site's contents."""
    listed = "\n".join(pages)
    return f"\n```{{toctree}}\n:caption: {caption}\n:hidden:\n\n{listed}\n```\n"


def main(site: Path) -> int:
    """Build it. The exit code of Sphinx, whose warnings are errors."""
    source = site.with_name(f"{site.name}-source")
    for folder in (source, site):
        shutil.rmtree(folder, ignore_errors=True)
    write_tree(source)
    return build_main(["-q", "-W", "--keep-going", "-d", str(source / ".doctrees"), str(source), str(site)])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "site"))
