"""Processes of a run share the cores, unless the user says how many threads each has."""

import re

import pytest
import torch
from support.paths import ROOT

from doubleback.rl.threads import in_words, sharing_cores, threads_each


@pytest.mark.parametrize(
    ("processes", "cores", "each"), [(1, 8, 8), (2, 2, 1), (3, 2, 1), (2, 16, 8), (3, 16, 5), (4, 1, 1)]
)
def test_together_they_have_no_more_than_the_cores(processes, cores, each):
    assert threads_each(processes, cores) == each


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    # Not torch's own: vLLM in this process, of a test before, makes the setter do nothing.
    threads = [3]
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[-1])
    monkeypatch.setattr(torch, "set_num_threads", threads.append)


def test_the_share_holds_within_the_block_alone(eight_cores):
    with sharing_cores(3):
        assert torch.get_num_threads() == 2
        assert in_words(2) == "2 for the trainer, 2 for each of 2 engines, of 8 cores"
        assert in_words(1) == "2 for the trainer, 2 for the engine, of 8 cores"
        assert in_words(1, 3) == "2 for the trainer, 2 for the engine, 2 for each of 3 gradient workers, of 8 cores"
        assert in_words(0, 1) == "2 for trainer and engine in turn, 2 for the gradient worker, of 8 cores"
    assert torch.get_num_threads() == 3


def test_a_process_that_is_alone_keeps_its_threads(eight_cores):
    with sharing_cores(1):
        assert in_words(0) == "3 for trainer and engine in turn, of 8 cores"


def test_the_users_word_wins(eight_cores, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with sharing_cores(4):
        assert in_words(1) == "3 for the trainer, 3 for the engine, of 8 cores, as OMP_NUM_THREADS says"


def test_nobody_sets_a_variable_of_openmp_where_torch_has_long_read_it():
    """libgomp reads them once, when torch loads it: whatever is set later holds for nobody, though it looks as if."""
    setting = re.compile(r"environ(\.setdefault\(|\[)[\"'](OMP|GOMP|KMP)_")
    code = [path for layer in ("rewards", "rl", "eval", "recipes") for path in (ROOT / layer).rglob("*.py")]
    assert [path.name for path in code if setting.search(path.read_text(encoding="utf-8"))] == []
