"""`model.path=OWNER/NAME@REVISION`: one commit of the hub, from its cache, which every run writes down."""

import shutil
from pathlib import Path

import pytest
import yaml
from huggingface_hub import constants
from support.folders.written import write_run

from doubleback.recipes import load_recipe
from doubleback.recipes.models.bundled import FOLDER, bundled_path
from doubleback.recipes.models.pinned import commit_of
from doubleback.recipes.publish.base import base_of
from doubleback.recipes.recipe.assembly import prepare
from doubleback.recipes.recipe.inputs import inputs
from doubleback.recipes.report.samples.files import origin_of
from doubleback.rewards.types import ConfigError

OLD, NEW = "0" * 40, "1" * 40


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The hub's cache with two commits of a model; its branch main and its tag v1 are the older one."""
    folder = tmp_path / "models--owner--name"
    for commit in (OLD, NEW):
        shutil.copytree(FOLDER / "countdown", folder / "snapshots" / commit)
    (folder / "refs").mkdir()
    for name in ("main", "v1"):
        (folder / "refs" / name).write_text(OLD, encoding="utf-8")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return folder


@pytest.mark.parametrize(("revision", "commit"), [("main", OLD), ("v1", OLD), (OLD, OLD), (NEW, NEW)])
def test_a_revision_is_the_folder_of_its_commit(cache, revision, commit):
    found = bundled_path(f"owner/name@{revision}")
    assert Path(found) == cache / "snapshots" / commit
    assert commit_of(Path(found)) == commit


def test_a_revision_that_is_not_to_be_had_is_one_line(cache):
    with pytest.raises(ConfigError, match=r"^model\.path=owner/name@v9: no such revision is to be had \(.+\); name a"):
        bundled_path("owner/name@v9")


def test_what_is_no_revision_stays_as_it_is(cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own" / "base@home").mkdir(parents=True)
    for path in ("owner/name", "runs/base", "own/base@home"):
        assert bundled_path(path) == path


def test_the_run_writes_the_commit_down_and_the_card_names_the_model(cache):
    recipe = load_recipe("countdown", {"model.path": "owner/name@v1"})
    with prepare(recipe) as prepared:
        hashes = inputs(recipe, prepared)
    assert {name: value for name, value in hashes.items() if name.startswith("model.path")} == {
        "model.path=owner/name@v1": f"commit {OLD}"
    }
    base = base_of("owner/name@v1", None, hashes)
    assert (base.hub_id, base.commit) == ("owner/name", OLD)


@pytest.mark.slow
@pytest.mark.parametrize(("revision", "is_here"), [("v1", True), ("v9", False)])
def test_the_report_of_a_run_asks_no_hub_for_its_base(run, asked, cache, tmp_path, revision, is_here):
    folder = write_run(tmp_path / "run")
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    recipe["model"]["path"] = f"owner/name@{revision}"
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    code, _, err = run("report", folder)
    assert (code, err, asked) == (0, "", [])
    assert (origin_of(folder).tokenizer is not None) == is_here


def test_who_may_ask_the_hub_does(asked, cache):
    """What the test above refuses is what would be asked."""
    with pytest.raises(ConfigError, match="no such revision is to be had"):
        bundled_path("owner/name@v9")
    assert asked
