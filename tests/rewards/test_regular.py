"""Whatever a folder holds under a name that is read: a file, or a line that says what it is, and no waiting."""

import os
import socket

import pytest

from doubleback.recipes.recipe.policy import adapter_hash
from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.records import read_record
from doubleback.rewards.regular import file_bytes, file_text, opened
from doubleback.rewards.rows import read_data
from doubleback.rewards.settings import read_yaml
from doubleback.rewards.types import ConfigError
from doubleback.rl.policy.stored.model import require_plain_model
from doubleback.rl.run.manifest import file_hash, verified


def pipe(path):
    os.mkfifo(path)


def listening(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))  # the name stays when nobody listens any more


def device(path):
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [pipe, device])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, make):
    make(tmp_path / "it")
    for read in (opened, file_bytes, file_text, file_hash):
        with pytest.raises(OSError, match="it is no regular file"):
            read(tmp_path / "it")


def test_nobody_can_be_asked_through_a_socket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket has 107 bytes at most
    listening(tmp_path / "it")
    with pytest.raises(OSError, match="No such device"):
        file_bytes(tmp_path / "it")


def test_a_folder_is_called_a_folder(tmp_path):
    with pytest.raises(IsADirectoryError):
        file_bytes(tmp_path)


def test_a_file_is_read_to_its_last_byte_also_through_a_link(tmp_path):
    (tmp_path / "it").write_bytes(b"a\r\nb\xc3\xa9\n")
    (tmp_path / "link").symlink_to(tmp_path / "it")
    assert file_bytes(tmp_path / "link") == b"a\r\nb\xc3\xa9\n"
    assert file_text(tmp_path / "link") == "a\nb\u00e9\n"


READERS = {
    "adapter_config.json": read_record,
    "recipe.yaml": lambda path: read_yaml(path, "recipe"),
    "metrics.jsonl": complete_lines,
    "rows.jsonl": lambda path: read_data(path),
    "rows.csv": lambda path: read_data(path),
    "adapter_model.safetensors": lambda path: adapter_hash(path.parent),
    "manifest.json": lambda path: verified(path.parent),
    "model.safetensors.index.json": lambda path: require_plain_model(path.parent, None),
}


@pytest.mark.parametrize("name", READERS)
def test_every_reader_says_so_in_one_line(tmp_path, name):
    pipe(tmp_path / name)
    with pytest.raises(ConfigError) as caught:
        READERS[name](tmp_path / name)
    assert "\n" not in str(caught.value)
