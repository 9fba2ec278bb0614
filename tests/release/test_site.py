"""The docs site: it builds strictly, and whatever is promised or may be set has its place in the reference."""

import re
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml
from sphinx.cmd.build import build_main
from support.paths import ROOT

from doubleback.rewards.builtin.table import BUILTIN
from doubleback.rl.objective.presets import PRESETS


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run([sys.executable, "scripts/site/build.py", folder], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def page(site, name):
    return (site / f"{name}.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_page_has_its_place_and_its_sections_their_order(site):
    sections = yaml.safe_load((ROOT / "docs" / "nav.yaml").read_text(encoding="utf-8"))
    assert [*sections] == ["Start", "How-to", "Concepts", "Reference", "Results", "Project"]
    listed = [name for pages in sections.values() for name in pages]
    assert len(listed) == len(set(listed))
    assert re.findall(r'<span class="caption-text">(.*?)</span>', page(site, "index")) == [*sections]
    written = {file.relative_to(ROOT / "docs").with_suffix("").as_posix() for file in (ROOT / "docs").rglob("*.md")}
    linked = set(re.findall(r'<a class="reference internal" href="([\w/.-]+)\.html"', page(site, "index")))
    assert written | {*listed} <= linked


@pytest.mark.slow
def test_the_reference_has_every_reward_preset_command_and_promised_name(site):
    assert all(f'id="{name.replace("_", "-")}"' in page(site, "reference/rewards") for name in BUILTIN)
    presets = page(site, "reference/presets")
    assert [name for name, preset in PRESETS.items() if f">{name}<" not in presets or preset.paper not in presets] == []
    commands = page(site, "reference/cli")
    assert all(f"doubleback {name}" in re.sub("<.*?>", "", commands) for name in ("check", "train", "eval", "compare"))
    api = re.sub("<.*?>", "", page(site, "reference/api"))
    for layer in ("rewards", "rl", "eval", "recipes"):
        names = re.findall(r"import (\w+) as", (ROOT / layer / "__init__.pyi").read_text(encoding="utf-8"))
        assert names, layer
        assert [name for name in names if name not in api] == []


@pytest.mark.slow
def test_the_site_asks_nobody_for_anything(site):
    """No script, style, font or picture comes from elsewhere."""
    pages = [*site.rglob("*.html")]
    assert len(pages) > 40
    asked = r'<(?:script|link|img|iframe)\b[^>]*?(?:src|href)="(https?:)?//[^"]*"'
    assert [file.name for file in pages if re.search(asked, file.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("text", ["[gone](nowhere.md)", "[gone](#nowhere)", "![gone](nowhere.png)"])
def test_a_link_that_leads_nowhere_fails_the_build(text, tmp_path):
    shutil.copy(ROOT / "docs" / "conf.py", tmp_path)
    index = tmp_path / "index.md"
    options = ["-q", "-W", "-b", "dummy", str(tmp_path), str(tmp_path / "site")]
    index.write_text("# A page\n\nWithout a link.\n", encoding="utf-8")
    assert build_main(options) == 0
    index.write_text(f"# A page\n\n{text}\n", encoding="utf-8")
    assert build_main(options) == 1


def test_the_generator_is_an_extra_and_in_the_lock():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [it.split(">")[0] for it in project["optional-dependencies"]["docs"]] == ["furo", "myst-parser", "sphinx"]
