"""What appears whole or not at all: the order of flush and rename, and what a failure at any point leaves behind."""

import errno
import os
import re
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support.paths import ROOT

from doubleback.rewards.types import RunError
from doubleback.rl.run import files
from doubleback.rl.run.files import (
    append,
    make_folder,
    private_files,
    remove_unfinished,
    whole_folder,
    write_atomically,
)


@pytest.fixture
def noted(monkeypatch):
    """Flushes and renames, in order, by the name of what they are done to; what is drawn of a temporary one is X."""
    events, flush, rename = [], os.fsync, Path.replace

    def known(name):
        return re.sub(r"\.[0-9a-f]{16}\.tmp$", ".X.tmp", name)

    def note_flush(descriptor):
        events.append(f"flush {known(Path(os.readlink(f'/proc/self/fd/{descriptor}')).name)}")
        flush(descriptor)

    def note_rename(path, target):
        events.append(f"rename {known(path.name)} to {target.name}")
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
    assert noted == ["flush .a.json.X.tmp"] * 2 + ["rename .a.json.X.tmp to a.json", "flush run"]


def test_a_line_is_flushed_before_anybody_is_told(tmp_path, noted):
    append(tmp_path / "a.jsonl", b"{}\n")
    append(tmp_path / "a.jsonl", b"[]\n")
    assert (tmp_path / "a.jsonl").read_bytes() == b"{}\n[]\n"
    assert noted == ["flush a.jsonl", f"flush {tmp_path.name}", "flush a.jsonl"]


def test_a_folder_is_flushed_with_all_that_is_in_it(tmp_path, noted):
    with whole_folder(tmp_path / "step") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "b").write_text("b")
        (folder / "a").write_text("a")
        assert not (tmp_path / "step").exists()
    assert [path.name for path in sorted((tmp_path / "step").rglob("*"))] == ["a", "inner", "b"]
    assert noted == [
        *("flush a", "flush inner", "flush b", "flush .step.X.tmp"),
        "rename .step.X.tmp to step",
        f"flush {tmp_path.name}",
    ]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken disk"), KeyboardInterrupt()])
def test_what_fails_before_the_rename_leaves_the_old_and_nothing_else(tmp_path, monkeypatch, error):
    seen = RunError if isinstance(error, OSError) else KeyboardInterrupt

    def fail(descriptor):
        raise error

    (tmp_path / "a.json").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(seen):
        write_atomically(tmp_path / "a.json", b"new")
    with pytest.raises(seen), whole_folder(tmp_path / "step") as folder:
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


LEFT = ".step.0123456789abcdef.tmp"


def test_what_a_killed_process_had_begun_goes_and_what_others_left_stays(tmp_path):
    for folder in (LEFT, "step.tmp", ".cache.tmp"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "half").write_text("half")
    (tmp_path / ".a.json.fedcba9876543210.tmp").write_text("half")
    (tmp_path / "mine").mkdir()
    (tmp_path / ".link.0123456789abcdef.tmp").symlink_to(tmp_path / "mine")
    with whole_folder(tmp_path / "step") as folder:
        (folder / "a").write_text("a")
    remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".cache.tmp",
        ".link.0123456789abcdef.tmp",
        "mine",
        "step",
        "step.tmp",
    ]


def test_a_link_in_the_place_of_a_temporary_name_or_of_a_file_of_lines_is_not_followed(tmp_path, monkeypatch):
    """Somebody who may write into the folder, and has guessed what is drawn: nothing is written where he points."""
    run, victim = tmp_path / "run", tmp_path / "victim"
    run.mkdir()
    victim.write_text("as it was")
    monkeypatch.setattr(files.secrets, "token_hex", lambda size: "0" * 2 * size)
    for name in ("a.json", "folder"):
        (run / f".{name}.{'0' * 16}.tmp").symlink_to(victim)
    (run / "lines.jsonl").symlink_to(victim)
    with pytest.raises(RunError, match=r"a\.json cannot be written \(File exists\)"):
        write_atomically(run / "a.json", b"new")
    with pytest.raises(RunError, match=r"folder cannot be written \(File exists\)"), whole_folder(run / "folder"):
        pytest.fail("somebody else's folder")
    with pytest.raises(RunError, match=r"lines\.jsonl cannot be written \(Too many levels of symbolic links\)"):
        append(run / "lines.jsonl", b"{}\n")
    assert victim.read_text() == "as it was"
    (run / "b.json").symlink_to(victim)
    write_atomically(run / "b.json", b"new")  # the rename takes the link's place
    assert (victim.read_text(), (run / "b.json").read_bytes()) == ("as it was", b"new")


def test_names_are_drawn(tmp_path):
    names = []
    for _ in range(2):
        with whole_folder(tmp_path / "step") as folder:
            names.append(folder.name)
        (tmp_path / "step").rmdir()
    assert len(set(names)) == 2


def test_what_is_private_is_the_users_alone(tmp_path):
    for is_private, modes in ((True, (0o700, 0o600)), (False, (0o750, 0o640))):
        folder = tmp_path / str(is_private)
        before = os.umask(0o027)
        try:
            with private_files(is_private):
                make_folder(folder / "inner")
                write_atomically(folder / "a", b"a")
            assert os.umask(0o027) == 0o027
        finally:
            os.umask(before)
        assert tuple(stat.S_IMODE(path.stat().st_mode) for path in (folder / "inner", folder / "a")) == modes


def test_nothing_else_renames_or_flushes():
    """Every file and folder that must be whole goes through this module."""
    rooms = [ROOT / name for name in ("rewards", "rl", "eval", "recipes")]
    sources = {path: path.read_text() for room in rooms for path in room.rglob("*.py")}
    words = (".rename(", "os.replace", "temporary.replace(", "shutil.move", '.tmp"')
    assert [path.name for path, text in sources.items() if any(word in text for word in words)] == ["files.py"]
    assert [path.name for path, text in sources.items() if "fsync(" in text] == ["files.py"]
