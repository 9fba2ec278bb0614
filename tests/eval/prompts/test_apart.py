"""Work apart gives its value or its one line, whatever it does: it never ends, dies, fails, or says too much."""

import os
import signal

import psutil
import pytest

from doubleback.eval.prompts import apart as module
from doubleback.eval.prompts.apart import apart
from doubleback.rewards.types import ConfigError


def endless():
    while True:
        pass


def fail():
    raise KeyError("a")


def refuse():
    raise ConfigError("as it is")


def test_a_value_comes_back_as_it_is():
    assert apart("it", lambda: {"text": "\ud800 \n", "none": None, "long": "a" * 1_000_000}) == {
        "text": "\ud800 \n",
        "none": None,
        "long": "a" * 1_000_000,
    }


def test_what_is_changed_there_is_not_changed_here():
    held = []
    assert apart("it", lambda: held.append(1)) is None
    assert held == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("work", "said"),
    [
        (endless, r"^it has no end: it took 1 s of a processor; take another model, or mend its chat template$"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), r"^it was killed; "),
        (lambda: os.kill(os.getpid(), signal.SIGUSR1), r"^it ended its process \(-10\); "),
        (lambda: os._exit(3), r"^it ended its process \(3\); "),
        (fail, r"^it fails: KeyError: 'a'; "),
        (refuse, r"^as it is$"),
        (lambda: "a" * (8 << 30), r"^it fails: it takes more than 1024 MiB of memory; "),
        (lambda: "a" * (2 << 20), r"^it says more than 1 MiB, or nothing for "),
    ],
)
def test_what_goes_wrong_is_one_line_and_nothing_is_left(work, said, monkeypatch):
    monkeypatch.setattr(module, "PROCESSOR_SECONDS", 1)
    monkeypatch.setattr(module, "MOST_BYTES", 1 << 20)
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(ConfigError, match=said):
        apart("it", work)
    assert {child.pid for child in psutil.Process().children()} <= before


def test_more_parts_may_take_longer(monkeypatch):
    limits = []
    monkeypatch.setattr(module, "_work", lambda work, writing, limit: os._exit(limit))
    for num_parts in (1, 1000):
        with pytest.raises(ConfigError) as caught:
            apart("it", endless, num_parts)
        limits.append(str(caught.value).partition("(")[2][0])
    assert limits == ["3", "8"]
