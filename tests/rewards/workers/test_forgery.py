"""Nine attacks of a reward on verdicts that are not its own: none changes any, and its process judges no more.

What it says of its own completion is its own affair: there it may lie, as any reward may.
"""

import json
import math
import secrets
import socket
import struct

import pytest
from support.processes import below, wait_until
from support.rewarding import kept, samples, score, spec

from doubleback.rewards import Completion, Problem, load_reward
from doubleback.rewards.types import UNUSABLE, RunError, Verdict
from doubleback.rewards.workers.messages import HEAD, TOKEN_BYTES, Kind, frame, results_from_json
from doubleback.rewards.workers.pool import SYMBOLIC, WorkerPool

SCORE = {"value": 1.0, "verdict": "correct", "extracted": "", "parts": {}, "detail": "FORGED", "seconds": 0.0}
FIND_TOKEN = (
    "import os, struct, sys\nf = sys._getframe(1)\nwhile 'token' not in f.f_locals: f = f.f_back\n"
    "token = f.f_locals['token']\n"
)


def framed(content):
    return struct.pack(">I", len(content)) + content


def writes(content):
    """Code that writes these bytes."""
    return f"import os; os.write(channel, {content!r}); said = 1.0"


def answers(content, is_spent=False):
    """Code that writes `content` as the answer to the job that it is called for, with the right token."""
    return (
        f"{FIND_TOKEN}answer = token + bytes([{int(is_spent)}]) + {content!r}\n"
        "os.write(channel, struct.pack('>I', len(answer)) + answer)\nsaid = 1.0"
    )


def scores(*items):
    return json.dumps({"scores": items}).encode()


@pytest.fixture(scope="module")
def both():
    """A pool with a reward that runs completions and one that runs none, and its keeper."""
    with kept(spec("runs"), spec("careful"), timeout_seconds=1000) as pool_and_keeper:
        yield pool_and_keeper


@pytest.fixture(scope="module")
def brief():
    with kept(spec("runs"), timeout_seconds=1) as (pool, _):
        score(pool, "runs", "right")
        yield pool


@pytest.fixture(scope="module")
def symbolic():
    with WorkerPool((SYMBOLIC,)) as pool:
        yield pool


PATCH = (
    "import builtins, json, sys\nbuiltins.float = lambda *_: 1.0\njson.loads = lambda *_, **__: 'right'\n"
    "import doubleback.rewards.contract.call as call\ncall.as_score = lambda item: call.Score(1.0, 'correct')\n"
    "m = sys.modules['__main__']\n"
    "async def forged(function, samples, **_): return [call.Score(1.0, 'correct')] * len(samples.completions)\n"
    "m.call = forged"
)
ATTACKS = {
    "1 through inherited descriptors": (
        "import os, struct\n"
        "for n in map(int, os.listdir('/proc/self/fd')):\n"
        "    for number in range(1, 60):\n"
        f"        frame = struct.pack('>QB16s', number, 1, bytes(16)) + {scores(SCORE)!r}\n"
        "        try: n > 2 and n != channel and os.set_blocking(n, False) is os.write(n, frame)\n"
        "        except OSError: pass\n"
        "raise SystemExit"
    ),
    "2 answers for other jobs": writes(b"".join(framed(secrets.token_bytes(17) + scores(SCORE)) for _ in range(40))),
    "3 the token again": answers(scores(SCORE)) + "\nos.write(channel, struct.pack('>I', len(answer)) + answer)",
    "4 patches its process": PATCH,
    "5 NaN and infinity": answers(scores(SCORE | {"value": float("nan"), "seconds": float("inf")})),
    "6 text for numbers": answers(scores(SCORE | {"value": "1.0"})),
    "7 fields too many": answers(scores(SCORE | {"weighted": {"runs": 9.0}})),
    "8 brackets without end": answers(b"[" * 200_000),
    "9 a field missing": answers(scores({key: value for key, value in SCORE.items() if key != "seconds"})),
}


@pytest.mark.parametrize("deed", ATTACKS.values(), ids=ATTACKS)
def test_an_attack_changes_no_other_verdict_and_costs_its_process(both, symbolic, deed):
    pool, keeper = both
    score(pool, "careful", "right")
    before = below(keeper)
    texts = ("wrong", deed, "wrong", "right", "wrong")
    asked = [pool.submit("runs", samples(text)) for text in texts]
    beside = [pool.submit("careful", samples(text)) for text in ("wrong", "right")]
    checks = [symbolic.submit("symbolic", samples(text, golds=[["2x"]])) for text in ("2x+1", "x+x")]
    values = [pool.result(future)[0].value for future in asked]
    assert [values[0], *values[2:]] == [0.0, 0.0, 1.0, 0.0]
    assert [pool.result(future)[0].value for future in beside] == [0.0, 1.0]
    assert [symbolic.result(future)[0].value for future in checks] == [0.0, 1.0]
    wait_until(lambda: len(below(keeper)) == 2)  # who takes the place of one that has just ended comes a moment later
    assert len(before & below(keeper)) == 1  # that of the neighbour


@pytest.mark.parametrize(
    "fields",
    [
        *({"value": value} for value in ("abc", "1", True, [1.0], {}, float("nan"), float("-inf"))),
        *({"verdict": verdict} for verdict in ("fine", 1, None)),
        *({"extracted": value} for value in (5, ["72"])),
        *({"parts": parts} for parts in (7, [], {"a": "1"}, {"a": True}, {str(n): 1.0 for n in range(1001)})),
        *({"seconds": seconds} for seconds in ("x", float("inf"))),
        *({"detail": detail} for detail in (None, 3)),
        {"more": 1},
    ],
)
def test_every_field_of_an_answer_is_read_as_data(fields):
    (said,) = results_from_json(scores(SCORE | fields), 1)
    assert (said.verdict, said.value) == (Verdict.GRADER_ERROR, None)
    assert said.detail.startswith("the worker sent no valid answer: ")


def test_an_answer_of_the_right_form_is_taken_as_it_is():
    parts = {"a": 0.5, "b": float("nan")}
    said, none = results_from_json(scores(SCORE | {"parts": parts, "value": 1}, None), 2)
    assert (said.value, said.verdict, said.detail, said.parts["a"]) == (1.0, Verdict.CORRECT, "FORGED", 0.5)
    assert math.isnan(said.parts["b"])
    assert none is None


@pytest.mark.parametrize(
    "content",
    [
        *(scores({key: value for key, value in SCORE.items() if key != name}) for name in SCORE),
        *(b"", b"5", b"[]", b"{}", b"\xff", b"[" * 200_000, b'{"scores":' * 100_000),
        *(b'{"scores": 5}', b'{"scores": [5]}', b'{"scores": []}', b'{"scores": [null, null]}'),
        b'{"scores": [null], "is_spent": true}',
        b'{"scores": [' + b"9" * 5000 + b"]}",
        scores(SCORE | {"value": 10**400}),
    ],
    ids=range(20),
)
def test_what_is_no_answer_is_a_fault(content):
    (said,) = results_from_json(content, 1)
    assert (said.verdict, said.value) == (Verdict.GRADER_ERROR, None)


FRAMES = {
    "half a frame": b"\x00\x00\x00\xff" + b"x" * 20,
    "a frame of a gigabyte": b"\x40\x00\x00\x00",
    "an empty frame": framed(b""),
    "an answer of the old form": framed(scores(SCORE)),
}


@pytest.mark.slow
@pytest.mark.parametrize("forged", FRAMES.values(), ids=FRAMES)
def test_what_is_no_frame_is_a_fault_of_its_own_completion(brief, forged):
    assert score(brief, "runs", writes(forged)).verdict in UNUSABLE
    assert [score(brief, "runs", text).value for text in ("wrong", "right")] == [0.0, 1.0]


@pytest.mark.slow
def test_a_thread_that_waits_for_the_next_job_does_not_get_it(both):
    """It would read the next job, and with it the token."""
    pool, keeper = both
    before = below(keeper)
    deed = (
        f"{FIND_TOKEN}import _thread\ndef wait():\n    job = os.read(channel, 65536)\n"
        f"    answer = job[4:20] + bytes(1) + {scores(SCORE)!r}\n"
        "    os.write(channel, struct.pack('>I', len(answer)) + answer)\n_thread.start_new_thread(wait, ())"
    )
    score(pool, "runs", deed)
    assert [score(pool, "runs", text).value for text in ("wrong", "right")] == [0.0, 1.0]
    assert not before >= below(keeper)


@pytest.mark.slow
def test_math_is_judged_by_a_keeper_of_its_own():
    def wrong(completions, **columns):
        return [0.0] * len(completions)

    config = {"components": {"math": 1.0, "wrong": {"function": wrong, "weight": 0}}, "judge": "math"}
    with load_reward(config) as reward:
        reward.ready()
        assert [list(pool.ready()) for pool in reward._pools] == [["wrong"], ["symbolic"]]
        (found,) = reward(
            Problem("p", "?", {"answer": "2x"}), [Completion("<answer> x+x </answer>", (1,), (0.0,), "stop", 0, "", 0)]
        )
        assert found.verdict == Verdict.CORRECT


@pytest.mark.slow
@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"x",
        HEAD.pack(10**9, Kind.ANSWER, bytes(TOKEN_BYTES)) + scores(SCORE),
        HEAD.pack(1, Kind.ANSWER, bytes(TOKEN_BYTES)) + scores(SCORE),
        HEAD.pack(1, Kind.FAULT, bytes(TOKEN_BYTES)) + b'{"verdict": "correct"}',
        HEAD.pack(0, Kind.GREETING, bytes(TOKEN_BYTES)) + b'{"errors": []}',
        HEAD.pack(7, 9, bytes(TOKEN_BYTES)),
    ],
)
def test_what_no_keeper_sends_ends_the_pool_and_is_said(monkeypatch, sent):
    """The thread that reads cannot die in silence: whoever waits, or asks later, is told."""
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(socket, "socketpair", lambda: (ours, socket.socket()))
    with WorkerPool((spec("runs"),)) as pool:
        future = pool.submit("runs", samples("right"))
        theirs.sendall(frame(sent))
        with pytest.raises(RunError, match=r"sent what it never sends|has ended"):
            future.result()
        theirs.close()
