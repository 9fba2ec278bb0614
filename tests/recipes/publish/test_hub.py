"""The hub says no, fails, or says nothing: one line, and nothing is pushed."""

import socket

import pytest
from support.commands import errors
from support.servers.hub import READER, Repository

from doubleback.recipes.publish import hub as way


def test_without_a_token_nothing_is_asked(run, hub, run_folder, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    code, _, err = run("push", run_folder, "ann/b")
    assert (code, errors(err)) == (2, ["error: there is no token for the hub: run `hf auth login`, or set HF_TOKEN"])
    assert hub.requests == []


def test_a_token_that_may_only_read_is_refused(run, hub, run_folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", READER)
    code, _, err = run("push", run_folder, "ann/b")
    assert (code, errors(err)) == (
        2,
        ["error: ann/b: the hub refuses your token (403); it needs the right to write there"],
    )
    assert hub.repositories == {}


def test_a_token_that_the_hub_does_not_know_is_refused(run, hub, run_folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 34)
    code, _, err = run("push", run_folder, "ann/b")
    assert (code, len(errors(err))) == (2, 1)
    assert "the hub refuses your token (401)" in errors(err)[0]


@pytest.mark.parametrize(
    ("is_private", "options", "line"),
    [
        (False, [], "ann/b is public on the hub, and --public was not; change it there, or push to another name"),
        (True, ["--public"], "ann/b is private on the hub, and --public was given; change it there"),
    ],
)
def test_what_was_meant_to_be_private_never_goes_where_everybody_looks(run, hub, run_folder, is_private, options, line):
    hub.repositories["ann/b"] = Repository(is_private)
    code, _, err = run("push", run_folder, "ann/b", *options)
    assert code == 2
    assert errors(err)[0].startswith(f"error: {line}")
    assert hub.repositories["ann/b"].files == {}


def test_a_second_push_is_a_second_commit(run, hub, run_folder):
    hub.repositories["ann/b"] = Repository(is_private=True)
    assert run("push", run_folder, "ann/b")[0] == 0
    assert hub.repositories["ann/b"].commits == ["Adapter of step 4"]


def stopped(err):
    (line,) = [line for line in err.splitlines() if line.startswith("stopped:")]
    return line


@pytest.mark.parametrize("part", ["/api/models/ann/b", "/api/repos/create", "/commit/"])
def test_a_hub_that_fails_stops_the_push_in_one_line(run, hub, run_folder, part):
    hub.broken[part] = 500
    code, _, err = run("push", run_folder, "ann/b")
    assert code == 1
    assert stopped(err).startswith(f"stopped: ann/b: the hub at {hub.url} failed (Server error '500")
    assert stopped(err).endswith("nothing was changed in the run: run the same command again")
    assert all(kept.files == {} for kept in hub.repositories.values())


def test_a_hub_that_is_away_is_named(run, hub, run_folder, monkeypatch):
    from huggingface_hub import constants

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
    code, _, err = run("push", run_folder, "ann/b")
    assert (code, "failed ([Errno 111] Connection refused)" in stopped(err)) == (1, True)


@pytest.mark.parametrize(("num_answered", "limit"), [(0, "FIRST_SECONDS"), (1, "SILENT_SECONDS")])
def test_a_hub_that_says_nothing_is_not_waited_for(run, hub, run_folder, monkeypatch, num_answered, limit):
    monkeypatch.setattr(way, limit, 0.2)
    hub.num_answered = num_answered
    code, _, err = run("push", run_folder, "ann/b")
    assert (code, "failed (timed out)" in stopped(err)) == (1, True)
