"""A replica that is replaced, or a fleet that is closed, at a moment at which somebody else has just looked at it."""

import math
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from threading import Event, Thread

import pytest
from support.processes import wait_until
from support.remote.crewed import Worker

from doubleback.rewards.types import RunError
from doubleback.rl.engines.engine import Load
from doubleback.rl.engines.fleet import place as place_module
from doubleback.rl.engines.fleet.health import Health
from doubleback.rl.engines.fleet.place import Place
from doubleback.rl.rollout.standing import replica_metrics, standing_of


class Asked:
    """A remote that is asked how it stands, and answers when it is told to."""

    def __init__(self):
        self.answer = Future()

    def beside(self, method):
        return self.answer


def test_who_watches_while_a_replica_is_replaced_gets_no_error_and_not_what_the_old_one_says(monkeypatch):
    """The progress line asks in a thread of its own, which ended with a traceback."""
    old, new = Asked(), Asked()
    watched = Place(0, old)

    def replaced_meanwhile(futures, timeout):
        monkeypatch.setattr(place_module, "wait", wait_for)
        watched.taken_by(new, Health())
        old.answer.set_result(Load(0, 0, 9, 900, 900))
        return wait_for(futures, timeout)

    monkeypatch.setattr(place_module, "wait", replaced_meanwhile)
    assert watched.stands() is None
    new.answer.set_result(Load(1, 0, 0, 5, 0))
    assert watched.stands() == Load(1, 0, 0, 5, 0)


def test_two_who_watch_at_once_both_get_the_answer(monkeypatch):
    watched = Place(0, Asked())
    watched.remote.answer.set_result(Load(1, 0, 0, 5, 0))

    def another_was_first(futures, timeout):
        monkeypatch.setattr(place_module, "wait", wait_for)
        watched.stands()
        return wait_for(futures, timeout)

    monkeypatch.setattr(place_module, "wait", another_was_first)
    assert watched.stands() == Load(1, 0, 0, 5, 0)


@pytest.mark.timeout(60)
def test_closed_in_the_middle_of_a_call_nobody_is_started_any_more(make):
    at_work, ended = Event(), []

    class Waiting(Worker):
        def sample(self, *args):
            at_work.wait()
            return []

    crewed = make(lambda: Waiting(0), lambda: Waiting(1))

    def sample():
        try:
            crewed.sample()
        except RunError as error:
            ended.append(str(error))

    calling = Thread(target=sample, daemon=True)
    calling.start()
    wait_until(lambda: all("sample" in remote.calls for remote in crewed.started))
    crewed.fleet.close()
    calling.join()
    at_work.set()
    assert len(crewed.started) == 2
    assert ended == ["engine 1 on here: it was killed"] or ended == ["engine 2 on here: it was killed"]
    with pytest.raises(RunError, match="the engines were closed"):
        crewed.sample()


@pytest.mark.timeout(60)
def test_figures_of_long_ago_make_no_rate(make, monkeypatch):
    """Asked at the begin of a step, the engine answers behind it: that is neither how it stood then nor how it does."""
    monkeypatch.setattr(place_module, "LOAD_SECONDS", 0.01)
    goes_on, answered = Event(), Event()

    class Late(Worker):
        def load(self):
            goes_on.wait()
            answered.set()
            return Load(0, 0, 1, self.tokens, self.tokens)

    crewed = make(lambda: Late(0))
    engine = crewed.engine(0)
    engine.tokens = 40
    before = standing_of(crewed.fleet)
    assert math.isnan(replica_metrics(before, standing_of(crewed.fleet), 2.0)["fleet/1/tokens_per_s"])
    goes_on.set()
    monkeypatch.setattr(place_module, "LOAD_SECONDS", 60.0)
    answered.wait()
    wait_until(lambda: crewed.crew.places[0]._asked.done())
    engine.tokens = 100
    after = standing_of(crewed.fleet)
    assert after[0][3] == Load(0, 0, 1, 100, 100)
    assert math.isnan(replica_metrics(before, after, 2.0)["fleet/1/tokens_per_s"])
    engine.tokens = 160
    assert replica_metrics(after, standing_of(crewed.fleet), 2.0)["fleet/1/tokens_per_s"] == 30
