"""A signal drops what may be dropped and lets a step be finished; a second one, or what hangs, ends the process."""

import signal
import subprocess
import sys

import pytest
from support.commands import untimed
from support.loop import Loop
from support.processes import below, wait_for_end

from doubleback.rl.stopping import STOP, Interrupted

LISTENING = """
import subprocess, sys, time
from doubleback.rl import stopping
from doubleback.rl.stopping import STOP, Interrupted
def hang():
    is_told = False
    while True:
        try:
            is_told = is_told or print("ready", flush=True) or True
            time.sleep(600)
        except Interrupted:
            pass
with STOP.listening():
    STOP.done = "all is kept"
"""
READY = "print('ready', flush=True)"
SECOND = "; a second signal ends it at once\n"
LAST = "interrupted; all is kept; run the same command again\n"


def start(body):
    indented = "".join(f"    {line}\n" for line in body.splitlines())
    program = subprocess.Popen(
        [sys.executable, "-c", LISTENING + indented],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background ignores it
    )
    assert program.stdout.readline() == "ready\n"
    return program


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_may_be_dropped_is_dropped_at_once(number):
    program = start(f"try:\n    {READY}\n    time.sleep(600)\nexcept Interrupted:\n    print(STOP.last_line())")
    program.send_signal(number)
    assert program.communicate()[0] == LAST
    assert program.returncode == 0


def test_what_is_finished_is_finished_and_what_may_be_dropped_in_it_is_dropped():
    program = start(
        f"with STOP.finishing():\n    {READY}\n"
        "    while STOP.asked is None: time.sleep(0.01)\n"
        "    print('finished', flush=True)\n"
        "    with STOP.droppable():\n"
        "        print('never')\n"
    )
    program.send_signal(signal.SIGTERM)
    out, err = program.communicate()
    assert out == "finished\n"
    assert "Interrupted" in err.splitlines()[-1]


@pytest.mark.parametrize("when", ["", "after this step"])
def test_a_second_signal_ends_it_whatever_it_is_doing(when):
    place = "with STOP.finishing():\n    " if when else ""
    program = start(f"stopping.ONE_SIGNAL_SECONDS, stopping.GRACE_SECONDS = 0.0, 600\n{place}hang()")
    program.send_signal(signal.SIGINT)
    assert program.stderr.readline() == " ".join(["stopping", *([when] if when else [])]) + SECOND
    program.send_signal(signal.SIGTERM)
    assert program.communicate()[1] == LAST
    assert program.returncode == 143


def test_what_hangs_is_ended_and_so_is_all_below_it():
    program = start(
        "stopping.GRACE_SECONDS = 0.1\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], stderr=subprocess.DEVNULL)\n"
        "STOP.done = str(child.pid)\nhang()"
    )
    (child,) = below(program.pid)
    program.send_signal(signal.SIGINT)
    assert program.communicate()[1].endswith(f"interrupted; {child}; run the same command again\n")
    assert program.returncode == 130
    wait_for_end([child])


def interrupt_in(loop, where):
    """Have the loop asked to stop: while `where` samples or measures, where the third of either begins."""
    calls = {"n": 0}

    def asked(call):
        def called(*args, **kwargs):
            calls["n"] += 1
            if calls["n"] == 3:
                raise Interrupted
            return call(*args, **kwargs)

        return called

    if where == "sampling":
        loop.engine.sample = asked(loop.engine.sample)
    else:
        loop.journal._evaluate = asked(loop.journal._evaluate)


@pytest.mark.slow
@pytest.mark.parametrize(("where", "saved"), [("sampling", 1), ("measuring", 2)])
def test_a_run_that_was_interrupted_goes_on_as_if_it_had_not_been(make_policy, tmp_path, where, saved):
    whole = Loop(make_policy(b_std=0.0), tmp_path / "whole").train(range(1, 5))
    cut = Loop(make_policy(b_std=0.0), tmp_path / "cut", checkpoint={"every": 10})
    interrupt_in(cut, where)
    with pytest.raises(Interrupted):
        cut.train(range(1, 5))
    cut.journal.save()
    assert cut.run.checkpoint_steps() == [saved]
    again = Loop(make_policy(b_std=0.0), tmp_path / "cut")
    start = again.run.restore_latest(again.learner, again.problems)
    lines = again.train(range(start + 1, 5))
    assert list(map(untimed, lines)) == list(map(untimed, whole))
    assert [path.read_bytes() for path in sorted((tmp_path / "cut" / "rollouts").iterdir())] == [
        path.read_bytes() for path in sorted((tmp_path / "whole" / "rollouts").iterdir())
    ]


def asked_to_stop_in_an_update(loop, monkeypatch):
    """Train until a signal arrives in the first update, and save what can be saved."""
    update = loop.learner.update

    def asked(batch):
        loop.rollouts.wait()  # where it samples ahead, the second batch has been drawn from the source
        monkeypatch.setattr(STOP, "asked", signal.SIGINT)
        return update(batch)

    loop.learner.update = asked
    with pytest.raises(Interrupted), STOP.finishing():
        loop.train(range(1, 5))
    loop.journal.save()


def test_a_step_that_was_begun_is_finished_and_saved(make_policy, tmp_path, monkeypatch):
    loop = Loop(make_policy(b_std=0.0), tmp_path / "run", checkpoint={"every": 10})
    asked_to_stop_in_an_update(loop, monkeypatch)
    assert loop.run.checkpoint_steps() == [1]
    assert [line["step"] for line in loop.run.metrics_lines()] == [0, 1]


@pytest.mark.slow
def test_a_checkpoint_knows_nothing_of_what_is_sampled_ahead(make_policy, tmp_path, monkeypatch):
    ahead = {"ahead": True}
    loop = Loop(make_policy(b_std=0.0), tmp_path / "run", rollout=ahead, checkpoint={"every": 10})
    expected = Loop(make_policy(b_std=0.0), tmp_path / "other", checkpoint={"every": 1})
    expected.train(range(1, 2))
    asked_to_stop_in_an_update(loop, monkeypatch)
    state, other = (item.run.path / "checkpoints" / "step-00001" / "problems.json" for item in (loop, expected))
    assert state.read_text() == other.read_text()
    assert loop.problems.state() != expected.problems.state()
