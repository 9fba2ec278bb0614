"""Nothing long is silent: how an engine stands, how far the golds are, in a pipe and before anything is finished."""

import re
from io import StringIO
from math import nan
from threading import Event

import pytest
from support.fakes import FakeReward

from doubleback.eval.show.console import Console
from doubleback.recipes.commands import progress
from doubleback.recipes.commands.check import prepared_watched
from doubleback.recipes.commands.display import CollapseWarning, Display
from doubleback.recipes.commands.progress import EvalProgress, Share, Standing, in_time, standing, watching
from doubleback.recipes.recipe.loading import load_recipe
from doubleback.recipes.recipe.mixture import gather
from doubleback.rewards.types import Score, Verdict
from doubleback.rl.engines.engine import Load, Watched


class Pipe(StringIO):
    """What the output goes to; `wait(text)` returns when it has been written."""

    def __init__(self):
        super().__init__()
        self._written = Event()

    def write(self, text):
        count = super().write(text)
        self._written.set()
        return count

    def wait(self, text):
        while text not in self.getvalue():
            self._written.wait()
            self._written.clear()


@pytest.fixture
def pipe(monkeypatch):
    monkeypatch.setattr(progress, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.01)
    return Pipe()


class Busy:
    """An engine that samples for a long time."""

    def load(self):
        return Load(running=2, waiting=4, done=0, tokens=0, done_tokens=0)


def test_an_engine_that_can_be_asked_is_known():
    assert isinstance(Busy(), Watched)
    assert not isinstance(object(), Watched)


def test_how_an_engine_stands_in_words():
    before = Load(running=0, waiting=0, done=10, tokens=1000, done_tokens=1000)
    now = Load(running=2, waiting=3, done=10, tokens=1200, done_tokens=1000)
    # 200 tokens in 10 s; at most 5 x 100 - 200 = 300 are left: 15 s
    expected = "2 running, 3 waiting, 0 of 5 done, 200 tokens, 20 tokens/s, at most 15 s left"
    assert standing(before, now, 10.0, num_samples=5, max_tokens=100) == expected
    # one of 50 tokens is done: 4 x 50 tokens are left, of which 150 stand: 50, in 2.5 s
    now = Load(running=2, waiting=2, done=11, tokens=1200, done_tokens=1050)
    expected = "2 running, 2 waiting, 1 of 5 done, 200 tokens, 20 tokens/s, about 2 s left"
    assert standing(before, now, 10.0, num_samples=5, max_tokens=100) == expected
    assert [in_time(seconds) for seconds in (40, 540, 7500)] == ["40 s", "9 min", "2 h 5 min"]


def test_an_evaluation_shows_itself_before_anything_is_finished(pipe):
    with EvalProgress(Console(file=pipe, width=200), 3, 2, Standing(Busy(), 6, 100)):
        pipe.wait("0/3  2 running, 4 waiting, 0 of 6 done, 0 tokens")


def test_a_call_of_the_engine_shows_itself(pipe):
    with watching(Console(file=pipe, width=200), "sampling from the base", Standing(Busy(), 6, 100).in_words):
        pipe.wait("sampling from the base: 2 running, 4 waiting")


def test_the_evaluation_of_a_step_shows_itself(pipe):
    with (
        Display(Console(file=pipe, width=200), 3, 0) as display,
        display.watching("step 0: 3 test problems x 2", Standing(Busy(), 6, 100).in_words),
    ):
        pipe.wait("step 0: 3 test problems x 2: 2 running, 4 waiting")


@pytest.mark.parametrize(
    ("shares", "line"),
    [
        ([0.41, 0.75], None),
        ([0.41, 0.76, 0.9], "step 2: experts/largest_share is 0.76, above 0.75: the router that is trained"),
        ([0.41, nan, 0.9], "step 2: experts/largest_share is not known, and lora.train_router=true: nobody would"),
        ([None, 0.9], "step 1: experts/largest_share is not known"),
    ],
)
def test_a_router_that_collapses_is_one_line_and_so_is_not_to_know(shares, line):
    pipe = StringIO()
    warning = CollapseWarning(Console(file=pipe))
    warning.observe(0, {"eval/validation/pass@1": 0.5})
    for step, share in enumerate(shares, start=1):
        warning.observe(step, {} if share is None else {"experts/largest_share": share})
    printed = pipe.getvalue().splitlines()
    assert len(printed) == (line is not None)
    assert not line or printed[0].startswith(line)


def test_the_share_that_is_done_in_words():
    share = Share()
    assert share.in_words() == "0 %"
    share(0.5)
    assert re.fullmatch(r"50 %, about \d+ s left", share.in_words())


def test_grading_golds_shows_itself(pipe, monkeypatch):
    """The reward of the second half of the golds waits until something is shown."""
    begun = []

    def slow(problem, completions):
        begun.append(problem)
        if len(begun) > 1:
            pipe.wait("grading the golds: ")
        return [Score(1.0, Verdict.CORRECT)]

    class Slow(FakeReward):
        def require_columns(self, problems):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(gather, "load_reward", lambda *arguments: Slow(slow))
    with prepared_watched(load_recipe("countdown"), Console(file=pipe, width=200)):
        pass
    assert re.search(r"grading the golds: \d+ %", pipe.getvalue())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_vllm_is_asked_while_it_samples(run, tmp_path):
    """Through the command line, where its output is no terminal: more than two seconds of sampling are not silent."""
    evaluating = ["eval", "bundled:countdown", "--suite", "countdown", "--n", "32", "--limit", "40"]
    code, out, err = run(*evaluating, "--out", tmp_path / "out")
    assert code == 0, err
    figures = re.search(r"^\d+/40  (\d+) running, (\d+) waiting, ([\d,]+) of 1,280 done, [\d,]+ tokens", out, re.M)
    assert figures, out
    assert int(figures[1]) > 0
