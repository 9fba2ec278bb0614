"""A checkpoint is what was saved, or it is named with what of it is not."""

import json

import pytest

from doubleback.rewards.types import ConfigError
from doubleback.rl.run.manifest import MANIFEST, verified, write_manifest


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    write_manifest(tmp_path, 7)
    return tmp_path


def test_what_was_saved_is_whole_and_has_its_step(folder):
    verified(folder, "a", "b")
    assert json.loads((folder / MANIFEST).read_text())["step"] == 7


@pytest.mark.parametrize("step", ["8", "null", '"7"', "NaN"])
def test_a_checkpoint_of_another_step_than_its_folder_says_is_named(tmp_path, step):
    """One that was copied over another, whose files are all as they were saved."""
    folder = tmp_path / "step-00007"
    folder.mkdir()
    (folder / "a").write_text("a")
    write_manifest(folder, 7)
    assert verified(folder, "a") == folder
    (folder / MANIFEST).write_text((folder / MANIFEST).read_text().replace('"step": 7', f'"step": {step}'))
    with pytest.raises(ConfigError, match=r"manifest.json is of step .*, the folder of step 7; delete that folder"):
        verified(folder, "a")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "b").write_text("c"), "b is not what was saved (SHA-256 differs)"),
        (lambda folder: (folder / "b").unlink(), f"{MANIFEST} or a file it names is missing or unreadable"),
        (lambda folder: (folder / MANIFEST).unlink(), f"{MANIFEST} or a file it names is missing or unreadable"),
        (lambda folder: (folder / MANIFEST).write_text("[]"), f"{MANIFEST} or a file it names is missing"),
        (lambda folder: (folder / MANIFEST).write_text('{"sha256": []}'), f"{MANIFEST} or a file it names is missing"),
        (lambda folder: (folder / MANIFEST).write_text('{"sha256": {}}'), f"{MANIFEST} has no hash of a"),
    ],
)
def test_what_is_not_is_named(folder, damage, reason):
    damage(folder)
    with pytest.raises(ConfigError) as caught:
        verified(folder, "a", "b")
    assert str(caught.value).startswith(f"checkpoint {folder} is corrupt: {reason}")
    assert str(caught.value).endswith("delete that folder to resume from the one before")
