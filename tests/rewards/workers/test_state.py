"""A completion that is run by its reward can change the process: it judges nobody else's completion."""

import pytest
from support.processes import below
from support.rewarding import kept, score, spec

from doubleback.rewards.types import Verdict
from doubleback.rewards.workers.pool import SYMBOLIC


@pytest.fixture(scope="module")
def both():
    """A pool with the reward that runs completions, and its keeper."""
    with kept(spec("runs"), timeout_seconds=3) as pool_and_keeper:
        score(pool_and_keeper[0], "runs", "right")
        yield pool_and_keeper


CODE = {
    "a builtin": ("import builtins; builtins.float = lambda *_: 1.0", "builtins.float"),
    "a module's function": ("import json; json.loads = lambda text: 'right'", "json.loads"),
    "the code of a function": (
        "from doubleback.rewards.contract.call import as_score; as_score.__code__ = (lambda item: None).__code__",
        "doubleback.rewards.contract.call",
    ),
    "a method": ("from fractions import Fraction; Fraction.__eq__ = lambda *_: True", "fractions.Fraction.__eq__"),
    "regular expressions": ("import re; re.search = lambda *_, **__: True", "re.search"),
    "what checks a reward": (
        "import doubleback.rewards.contract.call as c; c.as_score = lambda item: c.Score(1.0, c.Verdict.CORRECT)",
        "doubleback.rewards.contract.call.as_score",
    ),
    "the worker's own": ("import sys; sys.modules['__main__'].call = None", "__main__.call"),
    "this very check": (
        "import doubleback.rewards.workers.state as s; s.SharedState.fault = lambda self: None",
        "doubleback.rewards.workers.state.SharedState.fault",
    ),
    "the reward itself": ("import sys; sys.modules['nasty']._is_right = lambda _: True", "_is_right"),
    "what a reward calls": (
        "import sys; sys.modules['nasty'].careful.function = lambda **_: 1.0",
        "careful.function",
    ),
    "a class of the reward's": ("import sys; sys.modules['nasty'].Scaled.__call__ = None", "Scaled.__call__"),
    "a score": ("from doubleback.rewards import Score; Score.__eq__ = lambda *_: True", "Score.__eq__"),
    "a module": ("import sys; sys.modules['json'] = sys", "sys.modules['json']"),
    "a module away": ("import sys; del sys.modules['struct']", "sys.modules['struct']"),
}


@pytest.mark.parametrize(("deed", "named"), CODE.values(), ids=CODE)
def test_who_changes_code_is_not_judged_and_judges_nobody(both, deed, named):
    pool, keeper = both
    before = below(keeper)
    changed = score(pool, "runs", f"{deed}\nsaid = 1.0")
    assert (changed.verdict, changed.value) == (Verdict.GRADER_ERROR, None)
    assert named in changed.detail
    assert changed.detail.startswith("changed ")
    assert [score(pool, "runs", text).value for text in ("wrong", "right")] == [0.0, 1.0]
    assert below(keeper).isdisjoint(before)


SETTINGS = {
    "the folder": ("os.chdir('/')", "os.getcwd()"),
    "a variable": ("os.environ['PATH'] = '/nowhere'", "os.environ['PATH']"),
    "a variable away": ("del os.environ['PATH']", "os.environ['PATH']"),
    "digits": ("decimal.getcontext().prec = 2", "decimal.getcontext().prec"),
    "the depth of calls": ("sys.setrecursionlimit(90)", "sys.getrecursionlimit()"),
    "what is warned of": ("warnings.simplefilter('error')", "warnings.filters"),
    "the locale": ("locale.setlocale(locale.LC_ALL, 'C.UTF-8')", "locale.setlocale(locale.LC_ALL)"),
    "a signal": ("signal.signal(signal.SIGALRM, signal.SIG_IGN)", "signal.getsignal(signal.SIGALRM)"),
    "an alarm": ("signal.signal(signal.SIGALRM, signal.SIG_IGN); signal.alarm(1)", "signal.getitimer(0)"),
    "who may read files": ("os.umask(0)", "os.umask(0o22)"),
    "a tracer": ("sys.settrace(lambda *_: None)", "sys.gettrace()"),
    "how many files": ("resource.setrlimit(7, (64, resource.getrlimit(7)[1]))", "resource.getrlimit(7)[0]"),
}
IMPORTS = "import decimal, locale, os, resource, signal, sys, warnings; "


@pytest.mark.parametrize(("deed", "shown"), SETTINGS.values(), ids=SETTINGS)
def test_a_setting_is_set_back(both, tmp_path, deed, shown):
    """Seen from the next call of the same process."""
    pool, keeper = both
    show = f"{IMPORTS}open({str(tmp_path / 'shown')!r}, 'a').write(repr({shown}) + chr(10))"
    score(pool, "runs", show)
    before = below(keeper)
    result = score(pool, "runs", f"{IMPORTS}{deed}")
    score(pool, "runs", show)
    first, second = (tmp_path / "shown").read_text().splitlines()
    assert (result.verdict, below(keeper)) == (Verdict.WRONG, before)
    assert first == second


@pytest.mark.slow
def test_a_call_draws_what_its_completion_says(both):
    """Whatever was drawn, or seeded, before."""
    draw = "import random; said = random.random()"
    first = score(both[0], "runs", draw).value
    assert score(both[0], "runs", "import random; random.seed(1)").value == 0.0
    assert score(both[0], "runs", draw).value == first
    assert score(both[0], "runs", draw + " ").value != first


@pytest.mark.slow
@pytest.mark.parametrize(
    "deed",
    [
        "import threading, time; threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()",
        "import _thread, time; _thread.start_new_thread(time.sleep, (1000,))",
        "import builtins; builtins.kept = [open('/dev/null') for _ in range(100)]",
        "import sys; sys.path.insert(0, '/nowhere')",
        "import sys; sys.meta_path.insert(0, None)",
        "import asyncio, builtins; l = asyncio.get_event_loop(); builtins.t = l.create_task(asyncio.sleep(1000))",
        "raise SystemExit",
        "raise KeyboardInterrupt",
        "raise type('Own', (BaseException,), {})",
    ],
)
def test_what_is_left_behind_costs_the_process(both, deed):
    pool, keeper = both
    score(pool, "runs", "right")
    before = below(keeper)
    score(pool, "runs", deed)
    assert score(pool, "runs", "right").value == 1.0
    assert below(keeper).isdisjoint(before)


@pytest.mark.slow
def test_rewards_do_not_share_a_process():
    """One patches all it finds, the other and math-verify judge on as they did."""
    patch = "import builtins, json; builtins.float = json.loads = lambda *_, **__: 1.0"
    with kept(spec("runs"), spec("careful"), SYMBOLIC, timeout_seconds=1000) as (pool, keeper):
        assert len(below(keeper)) == 3
        score(pool, "runs", patch)
        assert score(pool, "careful", "wrong").value == 0.0
        assert score(pool, "symbolic", "2x+1", golds=[["2x"]]).value == 0.0
        assert score(pool, "symbolic", "x+x", golds=[["2x"]]).value == 1.0


@pytest.mark.slow
def test_an_honest_reward_keeps_its_process():
    with kept(spec("careful"), SYMBOLIC, timeout_seconds=1000) as (pool, keeper):
        score(pool, "careful", "right")
        score(pool, "symbolic", "x+x", golds=[["2x"]])
        before = below(keeper)
        for number in range(40):
            assert score(pool, "careful", f"{number}").value == 0.0
            assert score(pool, "symbolic", f"{number}x+{number}x", golds=[[f"{2 * number}x"]]).value == 1.0
        golds = (r"\sqrt{12}", r"\frac{\pi}{3}", r"\begin{pmatrix}1\\2\end{pmatrix}", r"(-\infty, 2]", "x^2+1=0")
        for gold in golds:
            score(pool, "symbolic", gold, golds=[[gold]])
        assert below(keeper) == before
