"""The state machine of a replica, driven by whatever comes in whatever order."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubleback.rl.engines.fleet.health import ALIVE, READY, Health, Limits, State, num_left

LIMITS = Limits(stall_seconds=10.0, restarts=2, floor=1)
EVENTS = ["started", "pushed", "proven", "spoke", "looked", "died", "replaced"]


def after(health, event, now):
    match event:
        case "looked":
            return health.looked(now, LIMITS)
        case "died":
            return health.died("a reason", LIMITS)
        case _:
            return getattr(health, event)(now)


@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.floats(0, 20)), max_size=60))
def test_whatever_happens_only_a_receipt_makes_it_serve_and_restarts_are_bounded(events):
    health, now = Health(), 0.0
    for event, seconds in events:
        before, now = health, now + seconds
        health = after(health, event, now)
        if health.state == State.SERVING and before.state not in (State.SERVING, State.SUSPECT):
            assert event == "proven"
        if before.state in (State.STARTING, State.DEAD):
            assert health.state not in (State.SERVING, State.SUSPECT)
        if before.state == State.RETIRED:
            assert health == before
        if health.state == State.STARTING and before.state != State.STARTING:
            assert event == "replaced"
        assert 0 <= health.restarts - before.restarts <= (event == "replaced")
        assert health.restarts <= LIMITS.restarts
        if event == "looked" and health.state == State.SUSPECT:
            assert now - health.heard > LIMITS.stall_seconds / 2
        if health.state == State.RETIRED and before.state != State.RETIRED:
            assert event == "died"
            assert before.restarts == LIMITS.restarts


@given(st.sampled_from(sorted(ALIVE)), st.floats(0, 100), st.floats(0, 100))
def test_silence_is_too_long_beyond_the_limit_alone(state, heard, silent):
    health = Health(state, heard)
    assert health.is_silent(heard + silent, LIMITS) == (heard + silent - heard > LIMITS.stall_seconds)
    assert not health.spoke(heard + silent).is_silent(heard + silent, LIMITS)


def test_one_that_is_slow_is_suspect_and_serves_again_when_it_speaks():
    serving = Health().started(0).proven(1)
    assert serving.looked(6, LIMITS) == serving
    suspect = serving.looked(6.5, LIMITS)
    assert (suspect.state, suspect.heard) == (State.SUSPECT, 1)
    assert suspect.spoke(7) == replace(serving, heard=7)
    assert suspect.pushed(7).state == State.STALE


@pytest.mark.parametrize("state", sorted(set(State) - READY))
def test_what_is_not_there_is_no_more_suspect_than_proven(state):
    health = Health(state)
    assert health.looked(100, LIMITS).proven(100).state == state


def test_those_that_are_retired_do_not_count():
    dead = Health().died("", LIMITS)
    assert [num_left([Health(), dead, Health(State.RETIRED)]), dead.state] == [2, State.DEAD]
    assert Health(restarts=2).died("", LIMITS).state == State.RETIRED
