"""An engine in a process of its own: what goes wrong there has its name here, and no process is left behind.

Each starts a process that imports torch and transformers; the fast tests have the one that every run depends on.
"""

import os
import signal
from dataclasses import replace

import psutil
import pytest
from support.faulty import Busy, Refusing, Told, silent
from support.processes import command_lines, wait_for_end

from doubleback.rewards.types import ConfigError, Problem, RunError
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import start_engines
from doubleback.rl.engines.engine import Load
from doubleback.rl.engines.fleet.health import Limits
from doubleback.rl.remote.process import device_apart
from doubleback.rl.types import ModelSource, Sampling

SETUP = EngineConfig(name="transformers").setup(ModelSource("nowhere", "float32", 64))
SAMPLING = Sampling(group_size=2, temperature=1.0, max_tokens=4)


@pytest.mark.parametrize(
    ("count", "visible", "expected"),
    [
        (0, None, [None, None]),
        (1, "3", [None, None]),
        (2, None, ["1", "1"]),
        (3, "4, 2,0", ["2", "0", "2"]),
    ],
)
def test_with_several_devices_the_engines_have_all_but_the_first(count, visible, expected):
    found = [device_apart(index, count, visible).get("CUDA_VISIBLE_DEVICES") for index in range(len(expected))]
    assert found == expected


def engines():
    """The processes started here but for the one that keeps the record of shared memory."""
    return {child.pid for child, line in command_lines(os.getpid()).items() if "resource_tracker" not in line}


@pytest.mark.timeout(120)  # all that can be seen of a wait that never ends
@pytest.mark.parametrize("processes", [1, 2])
def test_an_engine_that_says_nothing_is_named_and_ended(processes):
    before = engines()
    said = r"engine [12] on this machine: has neither answered nor computed for 0.2 s \(engine.stall_seconds\)"
    with pytest.raises(RunError, match=said):
        start_engines(silent, replace(SETUP, stall_seconds=0.2, processes=processes), {}, None)
    wait_for_end(engines() - before)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_engine_that_computes_for_longer_is_waited_for_and_one_that_is_stopped_is_replaced():
    """Work is measured in processor time, which a busy machine does not change."""
    before, said = engines(), []
    engine = start_engines(Busy, SETUP, {}, None, said.append)
    engine._crew._limits = Limits(stall_seconds=2.0)  # only now: a cold disk may keep the start waiting
    assert engine.score([((1,), (2,))]) == [(4.0,)]  # seconds of processor time: twice the limit
    assert said == []
    (process,) = engines() - before
    os.kill(process, signal.SIGSTOP)
    engine._crew._limits = Limits(stall_seconds=30.0)
    assert engine.score([((1,), (2,))]) == [(4.0,)]
    hung = "engine 1 on this machine: has neither answered nor computed for 30 s (engine.stall_seconds)"
    assert said == [f"{hung}; replaced, 1 of 3 times"]
    wait_for_end([process])
    (new,) = engines() - before
    engine.close()
    wait_for_end([new])


@pytest.mark.slow
def test_an_engine_is_alone_on_its_device_its_errors_have_names_and_its_death_is_made_good(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    variables, before, said = dict(os.environ), engines(), []
    engine = start_engines(Refusing, SETUP, {}, None, said.append)
    (process,) = engines() - before
    assert psutil.Process(process).environ()["CUDA_VISIBLE_DEVICES"] == "1"
    assert dict(os.environ) == variables
    with pytest.raises(ConfigError, match="problem p is refused"):
        engine.sample([Problem("p", "?")], SAMPLING, [1])
    assert engine.score([((1, 5), (6, 7))]) == [(0.0, 0.0)]  # an error does not end it
    assert engines() - before == {process}
    os.kill(process, signal.SIGKILL)
    assert engine.score([((1, 5), (6, 7))]) == [(0.0, 0.0)]
    dead = f"engine 1 on this machine: its process {process} has ended (SIGKILL: perhaps for want of memory, see dmesg)"
    # Whether the call was under way when the death was noticed is the machine's affair.
    assert said in (
        [f"{dead}; replaced, 1 of 3 times"],
        [f"{dead}; 1 problems are asked again; replaced, 1 of 3 times"],
    )
    engine.close()


@pytest.mark.slow
def test_it_says_how_it_stands_and_stands_back():
    before, niceness = engines(), psutil.Process().nice()
    engine = start_engines(Told, SETUP, {}, None)
    (process,) = engines() - before
    assert psutil.Process(process).nice() > niceness
    engine.score([((1,), (2,))])
    assert engine.load() == Load(1, 2, 3, 4, 5)
    engine.close()
    unable = start_engines(Refusing, SETUP, {}, None)
    assert unable.load() is None
    unable.close()


@pytest.mark.slow
def test_a_share_is_of_completions_and_cache():
    setup = replace(SETUP, max_num_seqs=255, kv_cache_mib=100, processes=3)
    assert (setup.share.max_num_seqs, setup.share.kv_cache_mib, setup.share.processes) == (85, 33, 1)
    assert replace(setup, kv_cache_mib=None).share.kv_cache_mib is None
