"""Which cluster a run joins: one that was named, or one's own that answers; every other is a line."""

import os
import socket

import pytest

from doubleback.rewards.types import ConfigError
from doubleback.rl.remote import address
from doubleback.rl.remote.address import ADDRESS, running_cluster


@pytest.fixture
def listening():
    """The address of somebody who listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def silent():
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    return f"127.0.0.1:{free}"


@pytest.fixture
def left(tmp_path, monkeypatch):
    """Call it with the word that `ray start` has left."""
    monkeypatch.delenv(ADDRESS, raising=False)
    monkeypatch.setattr(address, "STARTED_HERE", tmp_path / "ray_current_cluster")
    return (tmp_path / "ray_current_cluster").write_text


def refused():
    with pytest.raises(ConfigError) as error:
        running_cluster()
    (line,) = str(error.value).splitlines()
    return line


def test_nothing_is_joined_where_nothing_runs_and_where_that_is_asked_for(left, listening, monkeypatch):
    assert running_cluster() is None
    left(listening)
    assert running_cluster() == listening
    monkeypatch.setenv(ADDRESS, "local")
    assert running_cluster() is None


def test_the_one_that_is_named_comes_before_the_one_that_was_left(left, silent, listening, monkeypatch):
    left(silent)
    monkeypatch.setenv(ADDRESS, listening)
    assert running_cluster() == listening


def test_another_users_cluster_is_named_and_not_joined(left, listening, monkeypatch):
    left(listening)
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(address.STARTED_HERE).st_uid + 1)
    line = refused()
    assert f"the cluster {listening} was started by another user" in line
    assert f"{ADDRESS}={listening} if you may join it, or {ADDRESS}=local" in line


def test_one_that_does_not_answer_is_a_line(left, silent, monkeypatch):
    left(silent)
    line = refused()
    assert line.startswith(f"scale: no cluster answers: {silent}, of which ")
    assert line.endswith(f"`ray stop` removes what is left of it, and {ADDRESS}=local leaves it aside")
    monkeypatch.setenv(ADDRESS, silent)
    assert refused().startswith(f"scale: no cluster answers: {ADDRESS}={silent} ")


@pytest.mark.parametrize("asked", ["auto", "ray://somewhere:10001", "somewhere"])
def test_an_address_that_leads_to_nobody_or_anybody_is_refused(asked, left, monkeypatch):
    monkeypatch.setenv(ADDRESS, asked)
    assert f"{ADDRESS}={asked}" in refused()


def test_no_test_can_join_a_cluster_that_it_did_not_start():
    assert os.environ[ADDRESS] == "local"
