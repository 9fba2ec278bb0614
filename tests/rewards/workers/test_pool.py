"""A reward may hang, crash, leak and lie: it becomes a verdict of its own sample, and nothing is left behind."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.paths import NASTY
from support.processes import below, kill, wait_for_end, wait_until
from support.rewarding import kept, samples, score, spec

from doubleback.rewards.contract.functions import Scope
from doubleback.rewards.types import ConfigError, RunError, Verdict
from doubleback.rewards.workers.messages import FunctionSpec, Limits
from doubleback.rewards.workers.pool import SYMBOLIC, WorkerPool

LIMIT = 1.0


@pytest.fixture(scope="module")
def patient():
    """A pool and its keeper, for what ends by itself: a busy machine may take its time."""
    with kept(spec("trouble"), timeout_seconds=1000, memory_mib=512) as both:
        yield both


@pytest.fixture(scope="module")
def brief():
    functions = (spec("trouble"), spec("waits"), spec("shortest"), SYMBOLIC)
    with kept(*functions, timeout_seconds=LIMIT) as both:
        yield both


@pytest.fixture(scope="module")
def pool(brief):
    return brief[0]


@pytest.mark.parametrize(
    ("deed", "verdict", "detail"),
    [
        ("sleep", Verdict.TIMEOUT, "took more than 1 s"),
        ("hold the interpreter", Verdict.TIMEOUT, "took more than 1 s"),
        ("segfault", Verdict.GRADER_ERROR, "the worker ended with signal SIGSEGV"),
        ("leave children", Verdict.GRADER_ERROR, "left 3 process(es) running; they were killed"),
        ("leave what is about to end", Verdict.CORRECT, ""),
        ("leave a daemon", Verdict.GRADER_ERROR, "left 1 process(es) running; they were killed"),
        ("leave a daemon and crash", Verdict.GRADER_ERROR, "the worker ended with signal SIGSEGV"),
        ("fork and return", Verdict.CORRECT, ""),
        ("fork and stay", Verdict.GRADER_ERROR, "left 1 process(es) running; they were killed"),
        ("allocate", Verdict.GRADER_ERROR, "raised MemoryError"),
        ("exit", Verdict.GRADER_ERROR, "the worker ended with exit code 7"),
        ("leave quietly", Verdict.GRADER_ERROR, "raised SystemExit"),
        ("interrupt", Verdict.GRADER_ERROR, "raised KeyboardInterrupt"),
        ("close everything", Verdict.GRADER_ERROR, "the worker ended with exit code 1"),
        ("recurse", Verdict.GRADER_ERROR, "raised RecursionError"),
        ("raise", Verdict.GRADER_ERROR, f"raised ZeroDivisionError: of my own making ({NASTY}:"),
        ("nan", Verdict.GRADER_ERROR, "returned nan"),
        ("infinity", Verdict.GRADER_ERROR, "returned inf"),
        ("text", Verdict.GRADER_ERROR, "returned '1.0', not a number"),
        ("print", Verdict.CORRECT, ""),
    ],
)
def test_each_misdeed_is_a_verdict_of_its_own_sample(brief, patient, deed, verdict, detail):
    pool, keeper = brief if verdict == Verdict.TIMEOUT else patient
    before, after = "a neighbour", "another"
    futures = [pool.submit("trouble", samples(text)) for text in (before, deed, after)]
    first, second, third = (pool.result(future)[0] for future in futures)
    assert (first.value, third.value) == (1.0, 1.0)
    assert second.verdict == verdict
    assert second.detail.startswith(detail)
    assert second.value == (1.0 if verdict == Verdict.CORRECT else None)
    # One worker a function is left under the keeper, with nothing under it.
    assert score(pool, "trouble", "the next step").value == 1.0
    assert len(below(keeper)) == len(pool.ready())


def test_the_limit_is_that_of_its_pool_and_is_used_to_the_full(pool, patient):
    """Of two that never end, the one with the lower limit is given up first, and neither before its limit."""
    score(pool, "trouble", "warm")
    waiting = patient[0].submit("trouble", samples("sleep"))
    start = time.monotonic()
    assert score(pool, "trouble", "sleep").verdict == Verdict.TIMEOUT
    assert time.monotonic() - start >= LIMIT
    assert not waiting.done()
    (worker,) = below(patient[1])
    kill([worker])
    assert patient[0].result(waiting)[0].detail == "the worker ended with signal SIGKILL"


def test_scores_arrive_whole_and_timed(pool):
    start = time.monotonic()
    result = score(pool, "waits", "hm")
    around = time.monotonic() - start
    assert (result.value, result.verdict, result.extracted, result.parts) == (0.5, "wrong", "hm", {"length": 2.0})
    assert 0 < result.seconds <= around
    assert score(pool, "waits", "sleep").verdict == Verdict.TIMEOUT
    assert pool.ready()["shortest"].scope == Scope.GROUP
    group = pool.result(pool.submit("shortest", samples("aa", "b", "cc")))
    assert [item.value for item in group] == [0.0, 1.0, 0.0]


def test_text_that_json_and_utf8_dislike_travels(pool):
    nasty = "\ud800\x00\x1b[2K\U0001d7d5"
    assert score(pool, "waits", nasty).extracted == nasty


def test_any_thread_and_asyncio_may_ask(pool):
    with ThreadPoolExecutor(8) as executor:
        results = list(executor.map(lambda n: score(pool, "waits", "x" * n).parts["length"], range(1, 40)))
    assert results == [float(n) for n in range(1, 40)]

    async def ask():
        futures = [pool.submit("waits", samples("y" * n)) for n in range(1, 20)]
        return await asyncio.gather(*map(asyncio.wrap_future, futures))

    assert [scores[0].parts["length"] for scores in asyncio.run(ask())] == [float(n) for n in range(1, 20)]


def test_a_timer_of_the_host_is_left_alone(pool):
    fired = threading.Event()
    previous = signal.signal(signal.SIGALRM, lambda *_: fired.set())
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        assert score(pool, "trouble", "sleep").verdict == Verdict.TIMEOUT
        assert score(pool, "symbolic", "2x", golds=[["x+x"]]).verdict == Verdict.CORRECT
        assert fired.is_set()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def test_a_helper_that_was_started_while_loading_may_stay():
    with kept(spec("keeps_a_helper"), spec("trouble")) as (pool, keeper):
        assert [score(pool, "keeps_a_helper", "x").value for _ in range(3)] == [1.0] * 3
        everyone = below(keeper)
        assert len(everyone) == 3  # a worker for each of the two, and the helper
    wait_for_end(everyone)


def test_several_workers_work_side_by_side(tmp_path):
    """Each of three comes back only when all three are at work."""
    limits = Limits(timeout_seconds=1000)
    with WorkerPool((spec("Meets", folder=str(tmp_path), number=3),), limits, num_workers=3) as pool:
        futures = [pool.submit("Meets", samples(name)) for name in "abc"]
        assert [pool.result(future)[0].value for future in futures] == [1.0] * 3


@pytest.mark.parametrize(
    ("functions", "lines"),
    [
        ([spec("troubel")], [r"reward.components.troubel: \S+nasty.py has no 'troubel'; did you mean trouble\?"]),
        ([spec("NOT_A_FUNCTION")], [r"reward.components.NOT_A_FUNCTION: \S+ is no function, but int"]),
        (
            [spec("Scaled", offst=1)],
            [
                r"reward.components.Scaled: Scaled has no parameter 'offst'; did you mean offset\?",
                r"reward.components.Scaled: Scaled needs 'factor', which is not set",
            ],
        ),
        (
            [FunctionSpec("a", "nowhere.at.all:f", {}, "k"), FunctionSpec("b", "missing.py:f", {}, "l")],
            [
                "k: there is no module 'nowhere' to import 'nowhere.at.all' from",
                "l: there is no file missing.py; write",
            ],
        ),
        ([FunctionSpec("a", "unheard", {}, "k")], ["k: no installed package offers 'unheard' in doubleback.rewards"]),
    ],
)
def test_what_cannot_be_loaded_is_named(functions, lines):
    with WorkerPool(functions) as pool, pytest.raises(ConfigError) as caught:
        pool.ready()
    found = str(caught.value).splitlines()
    assert len(found) == len(lines)
    for line, expected in zip(found, lines, strict=True):
        assert re.match(expected, line), line


@pytest.mark.slow
def test_a_module_that_hangs_or_crashes_while_loading_is_named(tmp_path):
    for name, code, limit, message in (
        ("hangs", "while True: pass", 1.0, "did not load within 1 s"),
        ("crashes", "import os; os._exit(3)", 120.0, "ended with exit code 3"),
        ("raises", "1 / 0", 120.0, "raised ZeroDivisionError: division by zero"),
        ("exits", "raise SystemExit(1)", 120.0, "raised SystemExit"),
    ):
        (tmp_path / f"{name}.py").write_text(code)
        functions = (FunctionSpec("f", f"{tmp_path / name}.py:f", {}, "reward.components.f"),)
        with WorkerPool(functions, Limits(load_seconds=limit)) as pool:
            with pytest.raises(ConfigError, match=message):
                pool.ready()
            # Whoever asks all the same is told, and does not wait for ever.
            assert pool.submit("f", samples("x")).result()[0].verdict == Verdict.GRADER_ERROR


def test_arguments_and_factories(tmp_path):
    functions = (spec("Scaled", "scaled", factor=2.0), spec("make_constant", "seven", value=7.0))
    with WorkerPool(functions) as pool:
        assert pool.ready()["scaled"].columns == ("answer",)
        assert score(pool, "scaled", "abc", answer=["?"]).value == 6.0
        assert score(pool, "seven", "abc").value == 7.0


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_nothing_survives_a_killed_host(end):
    program = f"""
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts the tests in its background ignores it
sys.path.insert(0, {str(Path(NASTY).parent)!r})
from doubleback.rewards.contract.call import Samples
from doubleback.rewards.workers.pool import WorkerPool
from doubleback.rewards.workers.messages import FunctionSpec, Limits
spec = FunctionSpec("trouble", {NASTY + ":trouble"!r}, {{}}, "k")
pool = WorkerPool([spec], Limits(timeout_seconds=1000), num_workers=2)
pool.ready()
pool.submit("trouble", Samples(("?",), ("hold the interpreter",)))
pool.submit("trouble", Samples(("?",), ("fork and sleep",)))
time.sleep(1000)
"""
    host = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    everyone = set()
    try:
        # The keeper, its two workers, and what one of them has forked.
        wait_until(lambda: len(below(host.pid)) == 4, host)
        everyone = below(host.pid)
        host.send_signal(end)
        assert host.wait() == -end
        wait_for_end(everyone)
    finally:
        host.kill()
        host.wait()
        kill(everyone)


@pytest.mark.slow
def test_a_killed_keeper_is_named_and_takes_its_workers_along():
    with kept(spec("trouble"), timeout_seconds=1000) as (pool, keeper):
        workers = below(keeper)
        future = pool.submit("trouble", samples("hold the interpreter"))
        os.kill(keeper, signal.SIGKILL)
        with pytest.raises(RunError, match="the process that keeps the reward workers has ended"):
            future.result()
        with pytest.raises(RunError, match="has ended"):
            pool.submit("trouble", samples("x")).result()
        wait_for_end(workers)


@pytest.mark.slow
@pytest.mark.parametrize("module", ["keeper", "worker"])
def test_who_is_told_nothing_before_the_other_end_goes_ends_without_a_word(module):
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-P", "-m", f"doubleback.rewards.workers.{module}", str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True)
    theirs.close()
    ours.close()
    assert process.communicate()[1] == ""
    assert process.returncode == 0


@pytest.mark.slow
def test_a_fork_of_the_host_gets_its_own_symbolic_pool():
    program = """
import os
from doubleback.rewards.builtin.math import MathCorrect
ask = lambda: MathCorrect()(completions=["<answer> 2x </answer>"], answer=["x+x"])
assert ask() == [1.0]
pid = os.fork()
if pid == 0:
    os._exit(0 if ask() == [1.0] else 1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert ask() == [1.0]
"""
    subprocess.run([sys.executable, "-c", program], check=True)
