"""One owner: a second one is refused by name, a killed one holds nothing, and two starts never share a folder."""

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from doubleback.rewards.types import ConfigError, RunError
from doubleback.rl.run.owner import LOCK, claimed, owned, owned_output, owner_of

NUM_AT_ONCE = 6
WHO = rf"process {os.getpid()} on {socket.gethostname()} since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d"


@pytest.mark.parametrize("own", [owned, owned_output])
def test_a_second_owner_is_refused_by_name_and_the_first_keeps_what_it_has(own, tmp_path):
    path = tmp_path / "runs" / "first"
    for _ in range(2):  # what was given up can be owned again
        with own(path):
            for _ in range(2):
                with pytest.raises(ConfigError, match=rf"--out {path} is in use by {WHO}; end that"), own(path):
                    pytest.fail("two owners")
    assert list(path.parent.iterdir()) == []


def test_who_owns_a_folder_can_be_asked(tmp_path):
    assert owner_of(tmp_path / "nothing") is None
    with owned(tmp_path / "run"):
        assert owner_of(tmp_path / "run").startswith(f"process {os.getpid()} on ")
    assert owner_of(tmp_path / "run") is None


def test_an_owner_that_was_killed_holds_nothing(tmp_path):
    program = (
        "import os, sys; from pathlib import Path; from doubleback.rl.run.owner import owned\n"
        "with owned(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path / "run")]).returncode == -9
    assert (tmp_path / "run" / LOCK).exists()
    assert owner_of(tmp_path / "run") is None
    with owned(tmp_path / "run"):
        assert owner_of(tmp_path / "run") is not None


def test_starts_in_one_second_have_a_folder_each(tmp_path):
    name = tmp_path / f"countdown-{datetime(2026, 1, 2):%Y%m%d-%H%M%S}"

    def start(number):
        with claimed(name) as folder, owned(folder):
            (folder / "recipe.yaml").write_text(str(number))
        return folder

    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(start, range(24)))
    assert len(set(folders)) == 24
    assert [(folder / "recipe.yaml").read_text() for folder in folders] == [str(number) for number in range(24)]
    assert {name, name.with_name(f"{name.name}-24")} <= set(folders)


def test_a_folder_that_stays_empty_is_removed(tmp_path):
    with pytest.raises(ConfigError, match="wrong"), claimed(tmp_path / "run") as folder, owned(folder):
        raise ConfigError("wrong")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("own", [owned, owned_output, claimed])
def test_a_place_that_cannot_be_written_is_one_line(own, tmp_path):
    (tmp_path / "file").write_text("in the way")
    said = r"--out .*file/first cannot be written \((Not a directory|File exists): .*/file.*; choose another --out"
    with pytest.raises(ConfigError, match=said), own(tmp_path / "file" / "first"):
        pytest.fail("no folder can be there")


def test_a_file_that_goes_away_meanwhile_is_one_line_and_another_error_stays_what_it_is(tmp_path):
    said = r"a\.json cannot be used any more \(No such file or directory\); what else is in .*run is as it was"
    with pytest.raises(RunError, match=said), owned(tmp_path / "run"):
        (tmp_path / "run" / "a.json").read_text()
    with pytest.raises(FileNotFoundError), owned(tmp_path / "run"):
        (tmp_path / "elsewhere").read_text()


def test_of_many_processes_that_start_at_once_one_works_and_the_others_are_refused(tmp_path):
    """The owner works until all the others have ended."""
    program = (
        "import sys; from pathlib import Path\n"
        "from doubleback.rewards.types import ConfigError; from doubleback.rl.run.owner import owned\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try:\n"
        "    with owned(Path(sys.argv[1])): print('works', flush=True); sys.stdin.readline()\n"
        "except ConfigError as error: print(error, flush=True)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "run")]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(NUM_AT_ONCE)
    ]
    assert [process.stdout.readline() for process in started] == ["ready\n"] * NUM_AT_ONCE
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.stdout.readline() for process in started]
    for process in started:
        process.communicate("\n")
    assert [words for words in said if words == "works\n"] == ["works\n"]
    assert sum("is in use by" in words for words in said) == NUM_AT_ONCE - 1
