"""What appears whole or not at all: the order of flush and rename, and what a failure at any point leaves behind."""

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.paths import ROOT

from doubleback.rewards.types import RunError
from doubleback.rl.run.files import append, remove_unfinished, whole_folder, write_atomically


@pytest.fixture
def noted(monkeypatch):
    """Flushes and renames, in order, by the name of what they are done to."""
    events, flush, rename = [], os.fsync, Path.replace

    def note_flush(descriptor):
        events.append(f"flush {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        flush(descriptor)

    def note_rename(path, target):
        events.append(f"rename {path.name} to {target.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", note_flush)
    monkeypatch.setattr(Path, "replace", note_rename)
    return events


def test_a_file_is_flushed_before_it_takes_its_name(tmp_path, noted):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "a.json").write_bytes(b"old")
    write_atomically(folder / "a.json", b"new")
    assert (folder / "a.json").read_bytes() == b"new"
    assert noted == ["flush a.json.tmp", "rename a.json.tmp to a.json", "flush run"]


def test_a_line_is_flushed_before_anybody_is_told(tmp_path, noted):
    append(tmp_path / "a.jsonl", b"{}\n")
    append(tmp_path / "a.jsonl", b"[]\n")
    assert (tmp_path / "a.jsonl").read_bytes() == b"{}\n[]\n"
    assert noted == ["flush a.jsonl"] * 2


def test_a_folder_is_flushed_with_all_that_is_in_it(tmp_path, noted):
    with whole_folder(tmp_path / "step") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "b").write_text("b")
        (folder / "a").write_text("a")
        assert not (tmp_path / "step").exists()
    assert [path.name for path in sorted((tmp_path / "step").rglob("*"))] == ["a", "inner", "b"]
    assert noted == [
        *("flush a", "flush inner", "flush b", "flush step.tmp"),
        "rename step.tmp to step",
        f"flush {tmp_path.name}",
    ]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken disk"), KeyboardInterrupt()])
def test_what_fails_before_the_rename_leaves_the_old_and_nothing_else(tmp_path, monkeypatch, error):
    def fail(descriptor):
        raise error

    (tmp_path / "a.json").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(error)):
        write_atomically(tmp_path / "a.json", b"new")
    with pytest.raises(type(error)), whole_folder(tmp_path / "step") as folder:
        (folder / "a").write_text("a")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == b"old"


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RunError, match=r"no space left to write .*a\.json .*again, a training run with --resume"):
        write_atomically(tmp_path / "a.json", b"new")


def test_a_disk_that_is_full_while_a_model_is_written_is_one_line_and_nothing_is_left(tmp_path, largest_file):
    largest_file(1000)
    with pytest.raises(RunError, match=r"no space left to write .*model"), whole_folder(tmp_path / "model") as folder:
        save_file({"weight": torch.zeros(1000)}, folder / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_had_begun_is_in_nobodys_way(tmp_path):
    (tmp_path / "step.tmp").mkdir()
    (tmp_path / "step.tmp" / "half").write_text("half")
    with whole_folder(tmp_path / "step") as folder:
        (folder / "a").write_text("a")
    assert [path.name for path in (tmp_path / "step").iterdir()] == ["a"]
    (tmp_path / "next.tmp").mkdir()
    remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step"]


def test_nothing_else_renames_or_flushes():
    """Every file and folder that must be whole goes through this module."""
    rooms = [ROOT / name for name in ("rewards", "rl", "eval", "recipes")]
    sources = {path: path.read_text() for room in rooms for path in room.rglob("*.py")}
    words = (".rename(", "os.replace", "shutil.move", '".tmp"')
    assert [path.name for path, text in sources.items() if any(word in text for word in words)] == ["files.py"]
    assert [path.name for path, text in sources.items() if "fsync(" in text] == ["files.py"]
