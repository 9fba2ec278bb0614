"""A run whose disk refuses, or whose process is killed, at whatever write: it goes on as if nothing had been."""

import json
import os
import signal

import pytest
import torch
from support.commands import untimed
from support.disks.refusing import ERRORS, Disk, killing, refusing, watched
from support.loop import Loop

from doubleback.rewards.jsonl import content
from doubleback.rewards.types import RunError
from doubleback.rl.run.manifest import verified

LAST_STEP = 2
REFUSED, KILLED = 5, 13
"""Of so many places one is tried: 1 and 1 try all, which took four minutes of a processor with all four errors."""


@pytest.fixture(scope="module")
def loop(make_policy):
    def make(folder):
        settings = {"checkpoint": {"every": 1, "keep": 1}, "last_step": LAST_STEP, "num_problems": 2}
        return Loop(make_policy(b_std=0.0), folder, **settings)

    return make


def trained(loop, folder):
    """Start in the folder, or go on in it."""
    made = loop(folder)
    start = made.run.restore_latest(made.learner, made.problems)
    made.train(range(start + 1, LAST_STEP + 1))


def left(folder):
    """All that a run left but its metrics, unpacked: file -> bytes, and of the learner's state what is in it.

    torch writes equal tensors as other bytes where they came from a file; so the manifest's hash of them differs. The
    older checkpoint, which the next one would delete, may be there: as a whole, and nothing unfinished.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        assert not name.endswith(".tmp")
        if path.name == "step-00001":
            verified(path, "learner.pt")
        if "step-00001/" in name:
            continue
        if path.name == "learner.pt":
            found[name] = plain(torch.load(path, weights_only=True))
        elif path.name == "manifest.json":
            manifest = json.loads(path.read_text())
            del manifest["sha256"]["learner.pt"]
            found[name] = manifest
        elif path.is_file() and path.name != "metrics.jsonl":
            found[name] = content(path)
    return found


def plain(value):
    if isinstance(value, torch.Tensor):
        return value.dtype, value.tolist()
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def lines(made):
    return [untimed(line) for line in made.run.metrics_lines()]


@pytest.fixture(scope="module")
def whole(loop, tmp_path_factory):
    """What is left of a run that nothing happened to, its metrics, and what it asked of its disk."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with watched(Disk(folder)) as disk:
        trained(loop, folder)
    return left(folder), lines(loop(folder)), disk.done


def require_equal(found, whole, where):
    files, lines = found
    assert sorted(files) == sorted(whole[0]), where
    assert [name for name in files if files[name] != whole[0][name]] == [], where
    assert lines == whole[1], where


def resumed(loop, folder):
    trained(loop, folder)
    return left(folder), lines(loop(folder))


def test_every_write_is_seen(whole):
    """What is tried below is all: files and folders are made, written, flushed and named under this eye alone."""
    kinds = {what for what, _ in whole[2]}
    assert kinds == {"mkdir", "open", "write", "fsync", "replace", "unlink", "rmdir"}
    written = {name for what, name in whole[2] if what == "write"}
    for name in ("adapter_model.safetensors", "adapter_config.json", "learner.pt", "problems.json", "manifest.json"):
        assert name in written
    assert len(whole[2]) > 70


@pytest.mark.slow
def test_a_disk_that_refuses_at_any_write_is_one_line_and_the_run_goes_on_as_if_nothing_had_been(loop, whole, tmp_path):
    """Each place with one of the four errors, in turn."""
    for place in range(1, len(whole[2]) + 1, REFUSED):
        number, folder = ERRORS[place % len(ERRORS)], tmp_path / str(place)
        with watched(Disk(folder, place, refusing(number))) as disk:
            try:
                trained(loop, folder)
                said = None
            except RunError as error:
                said = str(error)
        where = (place, *disk.done[place - 1], os.strerror(number))
        assert said is not None, where
        assert os.strerror(number) in said, (where, said)
        assert "--resume" in said, (where, said)
        assert "\n" not in said, (where, said)
        require_equal(resumed(loop, folder), whole, where)


@pytest.mark.slow
def test_a_process_that_is_killed_at_any_write_leaves_what_goes_on_as_if_nothing_had_been(loop, whole, tmp_path):
    """A file that is being written is half there."""
    for place in range(1, len(whole[2]) + 1, KILLED):
        folder = tmp_path / str(place)
        pid = os.fork()
        if pid == 0:
            try:
                with watched(Disk(folder, place, killing)):
                    trained(loop, folder)
            finally:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL, place
        require_equal(resumed(loop, folder), whole, (place, *whole[2][place - 1]))
