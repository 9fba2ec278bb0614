"""What hangs is ended with a line; what computes is waited for, however long."""

import signal
import subprocess
import sys

import pytest

from doubleback.rl.hanging import LOOK_SECONDS, Silence
from doubleback.rl.stopping import STOP

PROGRAM = """
import threading, time
from doubleback.rl import hanging
from doubleback.rl.hanging import Watchdog
from doubleback.rl.stopping import STOP

hanging.LOOK_SECONDS = 0.25
looked, computed = threading.Semaphore(0), Watchdog._computed

def counted(self, call):
    looked.release()
    return computed(self, call)

def looks(number):
    "Wait for so many looks at this call."
    for _ in range(number):
        looked.acquire()
    return number

def computing(number):
    "Compute for as many."
    while number:
        number -= looked.acquire(blocking=False)
    return "computed"

Watchdog._computed = counted
watchdog = Watchdog("vLLM", 0.5, may_compute=MAY_COMPUTE)
with STOP.listening():
    STOP.going_on = lambda: "go on"
"""


def end_of(body, may_compute=True):
    """(exit code, standard output, standard error) of a program whose watchdog ends what hangs for three looks."""
    program = PROGRAM.replace("MAY_COMPUTE", str(may_compute)) + f"    {body}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(60)  # all that can be seen of a wait that never ends
@pytest.mark.parametrize(
    ("body", "may_compute", "said"),
    [
        ("watchdog.call('a step', threading.Event().wait)", True, "neither returned nor computed"),
        ("watchdog.call('a step', computing, 1000)", False, "not returned"),
    ],
    ids=["waits", "waits for a device, in a loop"],
)
def test_a_call_that_hangs_ends_the_command_with_a_line(body, may_compute, said):
    line = f"stopped: vLLM hangs: a step has {said} for 0.5 s (engine.stall_seconds); go on\n"
    assert end_of(body, may_compute) == (1, "", line)


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_what_computes_is_waited_for_and_calls_that_return_are_no_hanging_one():
    assert end_of("print(watchdog.call('a step', computing, 6))") == (0, "computed\n", "")
    assert end_of("print(sum(watchdog.call('a step', looks, 2) for _ in range(4)))") == (0, "8\n", "")


@pytest.mark.timeout(60)
def test_where_nobody_listens_the_process_is_not_ended():
    program = PROGRAM.replace("MAY_COMPUTE", "True").partition("with STOP")[0]
    program += "watchdog.call('a step', looks, 4)\nwatchdog._thread.join()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    line = "doubleback: vLLM hangs: a step has neither returned nor computed for 0.5 s (engine.stall_seconds)\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, "", line)


def test_silence_is_counted_in_looks_and_ends_with_what_is_computed(monkeypatch):
    silence = Silence(3 * LOOK_SECONDS, 100.0)
    assert [silence.is_too_long(100.0 + 0.01 * look) for look in range(4)] == [False, False, False, True]
    assert not silence.is_too_long(101.0)
    assert silence.limit == 3 * LOOK_SECONDS
    monkeypatch.setattr(STOP, "asked", signal.SIGINT)
    assert [silence.is_too_long(101.0) for _ in range(3)] == [False, False, True]
