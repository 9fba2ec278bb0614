"""A process and all below it, found by one look at the processes there are."""

import subprocess

import pytest
from support.processes import below, wait_for_end

from doubleback.rewards.workers import tree

CHAIN = "sleep 1000 & bash -c 'bash -c \"sleep 1000 & sleep 1000 & echo ready; wait\" & wait' & wait"
"""Below the shell: a sleep and a shell, below that a shell, and below that two sleeps."""


@pytest.fixture
def chain():
    """The top of a tree of six processes that are all there."""
    process = subprocess.Popen(["bash", "-c", CHAIN], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    yield process
    tree.kill_tree(process.pid)
    process.wait()


def test_one_look_finds_all_below_however_deep(chain, monkeypatch):
    known, looks = below(chain.pid), []
    look = tree._parents
    monkeypatch.setattr(tree, "_parents", lambda: looks.append(1) or look())
    assert tree._descendants(chain.pid) == known
    assert len(known) == 5
    assert len(looks) == 1
    assert tree.excess(chain.pid, 0, 1024, processes=5) == "ran 6 processes at once, more than reward.processes=5"
    assert len(looks) == 2


def test_all_of_them_are_ended(chain):
    known = {chain.pid, *below(chain.pid)}
    tree.kill_tree(chain.pid)
    chain.wait()
    wait_for_end(known)


def test_nothing_is_below_what_does_not_exist():
    assert tree._descendants(2**22 + 1) == set()
