"""A replica that is replaced, or a fleet that is closed, at a moment at which somebody else has just looked at it."""

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
