"""Engines in processes of their own that die or hang while a run trains. Real vLLM, real processes."""

import os
import signal
import subprocess

import pytest
from support.processes import command_lines, wait_until
from support.remote.runs import MARK, command, final_adapter, processes_of, rollouts, run_apart

pytestmark = pytest.mark.slow


def engines_of(process):
    """The processes in which the engines of a run with rollout.ahead sample."""
    return [child for child, line in command_lines(process.pid).items() if "spawn_main" in line]


def engine_of(process):
    """The one there is."""
    (engine,) = engines_of(process)
    return engine


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("number", "overrides", "code", "last"),
    [
        (signal.SIGKILL, ["engine.restarts=0"], 1, "has ended (SIGKILL: perhaps for want of memory, see dmesg)"),
        (signal.SIGSTOP, [], 130, "interrupted; "),
    ],
    ids=["dead", "silent and interrupted"],
)
def test_an_engine_that_may_not_be_replaced_ends_the_run_with_a_line(number, overrides, code, last, tmp_path):
    out = tmp_path / "run"
    process = started_ahead(out, "steps=1000", *overrides)
    engine_of(process).send_signal(number)
    if code == 130:
        process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == code, err
    assert any(last in line for line in err.splitlines()), err
    assert "Traceback" not in err
    wait_until(lambda: processes_of(out) == [])


def started_ahead(out, *overrides):
    """A run that samples ahead, behind its first steps."""
    process = subprocess.Popen(
        [*command(out), "rollout.ahead=true", *overrides],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, MARK: str(out)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    metrics = out / "metrics.jsonl"
    wait_until(lambda: metrics.exists() and len(metrics.read_bytes().splitlines()) > 1, process)
    return process


@pytest.mark.timeout(900)
def test_an_engine_that_dies_or_hangs_is_replaced_and_the_run_ends_as_ever(tmp_path):
    """The same run, with one engine killed and the one that replaced it stopped, ends with the same bits."""
    out, whole = tmp_path / "run", tmp_path / "whole"
    run_apart(whole, "rollout.ahead=true")
    process = started_ahead(out, "engine.stall_seconds=15")
    first = engine_of(process)
    first.kill()
    wait_until(lambda: [it for it in engines_of(process) if it.pid != first.pid], process)
    (second,) = [it for it in engines_of(process) if it.pid != first.pid]
    second.send_signal(signal.SIGSTOP)
    said, err = process.communicate()
    assert process.returncode == 0, err
    lines = [" ".join(line.split()) for line in said.splitlines() if line.startswith("engine 1 on this machine: ")]
    assert [line.endswith(f"replaced, {number} of 3 times") for number, line in enumerate(lines, 1)] == [True, True]
    assert f"its process {first.pid} has ended (SIGKILL" in lines[0]
    assert "has neither answered nor computed for 15 s (engine.stall_seconds)" in lines[1]
    assert rollouts(out) == rollouts(whole)
    assert final_adapter(out) == final_adapter(whole)
    wait_until(lambda: processes_of(out) == [])
