"""A checkpoint is what was saved, or it is named with what of it is not."""

import json

import pytest

from doubleback.rewards.types import ConfigError
from doubleback.rl.run.manifest import MANIFEST, require_whole, write_manifest


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    write_manifest(tmp_path, 7)
    return tmp_path


def test_what_was_saved_is_whole_and_has_its_step(folder):
    require_whole(folder, "a", "b")
    assert json.loads((folder / MANIFEST).read_text())["step"] == 7


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
        require_whole(folder, "a", "b")
    assert str(caught.value).startswith(f"checkpoint {folder} is corrupt: {reason}")
    assert str(caught.value).endswith("delete that folder to resume from the one before")
