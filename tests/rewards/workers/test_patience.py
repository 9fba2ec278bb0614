"""How long a reward may take: as long as any is answered, and longer where a worker calls it for the first time."""

import os
import signal

import pytest
from support.rewarding import kept, samples, score, spec

from doubleback.rewards.types import RunError, Verdict
from doubleback.rewards.workers.first_calls import FirstCalls
from doubleback.rewards.workers.messages import Limits

LIMIT = 1.0


def test_a_slow_reward_is_waited_for_as_long_as_any_is_answered():
    """Ten of 0.4 s each, the last waited for first, where silence may last 3 s."""
    with kept(spec("takes")) as (pool, _):
        pool.limits = Limits(timeout_seconds=1, load_seconds=0, first_call_seconds=0, stall_seconds=2)
        *_, last = [pool.submit("takes", samples("0.4")) for _ in range(10)]
        assert pool.result(last)[0].value == 1.0


def test_a_keeper_that_hangs_is_named_with_the_queue():
    with kept(spec("takes")) as (pool, keeper):
        first, *_, last = [pool.submit("takes", samples(seconds)) for seconds in ("0", "1000", "0")]
        pool.result(first)
        os.kill(keeper, signal.SIGSTOP)
        pool.limits = Limits(timeout_seconds=1, load_seconds=0, first_call_seconds=0, stall_seconds=0.5)
        message = r"no reward worker has answered for 1.5 s \(1 of 3 completions are scored, .* a second\); the keeper"
        with pytest.raises(RunError, match=message):
            pool.result(last)
        os.kill(keeper, signal.SIGCONT)


def test_the_first_call_in_a_worker_may_take_longer():
    """It imports what it needs: in a worker that replaces another, again."""
    with kept(spec("warms_up"), timeout_seconds=LIMIT, first_call_seconds=30) as (pool, _):
        verdicts = [score(pool, "warms_up", text).verdict for text in ("a", "sleep", "b", "c")]
    assert verdicts == [Verdict.CORRECT, Verdict.TIMEOUT, Verdict.CORRECT, Verdict.CORRECT]


def test_what_a_first_call_may_take_is_learned():
    calls = FirstCalls(60.0)
    assert calls.allowance() == 60.0
    calls.answered(4.0)
    calls.timed_out()  # one that hangs takes nothing from the others
    assert calls.allowance() == 12.0
    calls.answered(30.0)
    assert calls.allowance() == 60.0
    in_vain = FirstCalls(60.0)
    in_vain.timed_out()
    assert in_vain.allowance() == 0.0
    in_vain.answered(0.5)
    assert in_vain.allowance() == 1.5
