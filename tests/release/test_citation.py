"""CITATION.cff says of the project what pyproject.toml says, in the format's words."""

import re
import tomllib

import yaml
from support.paths import ROOT

KEYS = {"cff-version", "message", "type", "title", "abstract", "version", "license", "authors", "keywords"}


def test_it_is_a_citation_of_this_version_by_the_project():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(cited) == KEYS
    assert (cited["cff-version"], cited["type"]) == ("1.2.0", "software")
    assert (cited["title"], cited["version"], cited["license"]) == (
        "doubleback",
        project["version"],
        project["license"],
    )
    # An entity, in the format's sense: a name, and no given or family names of people.
    assert [list(author) for author in cited["authors"]] == [["name"]]
    assert all(re.fullmatch(r"[\w -]+", word) for word in cited["keywords"])
    assert len(set(cited["keywords"])) == len(cited["keywords"])
