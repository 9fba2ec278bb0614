"""What happens to replicas that die, hang or lie. They are engines in threads; test_process.py has real ones."""

import math
from dataclasses import replace
from threading import Event

import pytest
from support.remote.crewed import PROBLEMS, SEEDS, Served, Worker, workers
from support.rollouts import SAMPLING

from doubleback.rewards.types import RunError
from doubleback.rl.engines.engine import Proof
from doubleback.rl.engines.fleet.health import State
from doubleback.rl.stopping import STOP


def test_a_replica_that_dies_in_mid_call_is_replaced_and_what_it_had_is_asked_again(make):
    dying = Event()

    class Dying(Worker):
        def sample(self, *args):
            dying.wait()  # for ever: it is dead by then
            return []

    crewed = make(lambda: Dying(0), lambda: Worker(1), restarts=1)
    crewed.fleet.load_adapter(Served("first"), version=1)
    remote = crewed.crew.places[0].remote
    crewed.sample(lambda row, group: remote.is_dead or remote.die("its process 9 has ended (SIGKILL)"))
    (line,) = crewed.said
    assert line.startswith("engine 1 on here: its process 9 has ended (SIGKILL); ")
    assert line.endswith(" problems are asked again; replaced, 1 of 1 times")
    dying.set()
    crewed.sample()
    assert crewed.engine(0).versions == [1]  # the new one was given the adapter before anything


def test_one_that_is_silent_is_suspect_gets_nothing_more_and_is_then_replaced(make):
    at_work = Event()

    class Silent(Worker):
        def sample(self, *args):
            at_work.wait()
            return []

    crewed = make(lambda: Silent(0), lambda: Worker(1), stall_seconds=0.2)
    remote = crewed.crew.places[0].remote
    remote.stands_still = True
    states = []
    remote.processor_seconds = lambda: states.append(crewed.crew.places[0].health.state) or 0.0
    crewed.sample()
    at_work.set()
    (line,) = crewed.said
    assert line.startswith("engine 1 on here: has neither answered nor computed for 0.2 s (engine.stall_seconds); 2 ")
    assert set(states[1:]) == {State.SERVING, State.SUSPECT}
    assert remote.hosted._engine.asked == []


def test_one_that_computes_is_waited_for(make):
    """It says nothing for as many looks as its time has, and shows at each that it is at work."""
    go_on, looks = Event(), []

    class Working(Worker):
        def sample(self, *args):
            go_on.wait()
            return super().sample(*args)

    crewed = make(lambda: Working(0), stall_seconds=0.1)
    remote = crewed.crew.places[0].remote

    def seconds():
        looks.append(1)
        if len(looks) == 12:
            go_on.set()
        return float(len(looks))

    remote.processor_seconds = seconds
    crewed.sample()
    assert (crewed.said, len(looks) >= 12) == ([], True)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("skips the load", "sampled of the adapter base, not first"),
        ("returns NaN", "returned a log-probability that is no number"),
    ],
)
def test_one_that_samples_of_another_adapter_or_no_number_is_named_and_none_of_it_is_taken(make, fault, said):
    class Faulty(Worker):
        def load_adapter(self, adapter, version):
            if fault != "skips the load":
                super().load_adapter(adapter, version)

        def completion(self, seed):
            is_nan = fault == "returns NaN"
            return replace(super().completion(seed), sampler_logprobs=(math.nan,) if is_nan else (-1.0,))

    crewed = make(lambda: Faulty(0), lambda: Worker(1))
    crewed.fleet.load_adapter(Served("first"), version=1)
    groups = crewed.sample()
    assert crewed.said[0].startswith(f"engine 1 on here: {said}; ")
    assert {completion.adapter_hash for group in groups for completion in group.completions} == {"first"}


def test_one_that_has_another_adapter_than_the_call_names_samples_nothing(make):
    crewed = make(*workers(2))
    crewed.fleet.load_adapter(Served("first"), version=1)
    replica = crewed.crew.places[0].remote.hosted
    replica._adapter_hash = "another"  # as after a restart that nobody noticed
    crewed.sample()
    assert replica._engine.asked == []
    assert crewed.said[0].startswith("engine 1 on here: serves the adapter another, not first; ")


def proof_of(expected):
    return Proof([((9,), (5,))], lambda scores: "" if scores == [(expected,)] else f"scored {scores[0][0]:g}")


def test_a_new_one_serves_only_with_a_receipt_and_one_that_has_none_is_replaced_until_it_is_retired(make):
    """Those that replace the first score 10, which is not what the proof asks for."""
    crewed = make(lambda: Worker(1), lambda: Worker(1), restarts=2)
    crewed.fleet.load_adapter(Served("first"), version=1)
    crewed.fleet.settle(proof_of(1.0), {"engine 1 on here": "is stale", "engine 2 on here": ""})
    assert crewed.said == ["engine 1 on here: is stale; replaced, 1 of 2 times"]
    crewed.crew.until(lambda: crewed.crew.places[0].health.state == State.RETIRED)
    assert crewed.said[1:] == [
        "engine 1 on here: scored 10; replaced, 2 of 2 times",
        "engine 1 on here: scored 10; not replaced any more (engine.restarts=2)",
    ]
    crewed.sample()
    assert all("sample" not in remote.calls for remote in crewed.started if remote.name == "engine 1")


def test_one_that_was_not_judged_proves_itself_first(make):
    crewed = make(lambda: Worker(1), lambda: Worker(1))
    crewed.fleet.settle(proof_of(1.0), {"engine 1 on here": ""})
    crewed.sample()
    assert [remote.calls.count("score") for remote in crewed.started] == [0, 1]


@pytest.mark.parametrize("restarts", [0, 1])
def test_below_the_floor_it_ends_with_a_sentence(make, restarts):
    crewed = make(*workers(2), restarts=restarts, floor=2)
    crew, first = crewed.crew, crewed.crew.places[0]
    for _ in range(restarts):
        crew.lose(first, "is broken")
        crew.until(lambda: first.health.state == State.SERVING)
    used_up = f"engine.restarts={restarts} is used up and leaves 1 of engine.floor=2"
    with pytest.raises(RunError, match=rf"^engine 1 on here: is broken; {used_up}$"):
        crew.lose(first, "is broken")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("is_stopped", [False, True])
def test_who_comes_after_it_was_given_up_is_told_so_and_does_not_wait(make, monkeypatch, is_stopped):
    """The error of a rollout ahead is heard when the rollout is taken; an adapter is pushed before that."""
    crewed = make(lambda: Worker(0), restarts=3 if is_stopped else 0)
    monkeypatch.setattr(STOP, "asked", 2 if is_stopped else None)
    with pytest.raises(RunError, match="engine 1 on here: is broken"):
        crewed.crew.lose(crewed.crew.places[0], "is broken")
    for call in (
        lambda: crewed.fleet.load_adapter(Served("first"), version=1),
        lambda: crewed.fleet.score([((9,), (5,))]),
        lambda: crewed.fleet.score_each([((9,), (5,))]),
        crewed.sample,
    ):
        with pytest.raises(RunError, match="engine 1 on here: is broken"):
            call()


@pytest.mark.timeout(60)
def test_one_that_hangs_behind_its_last_group_is_noticed_by_who_comes_next(make):
    """The groups are all there, and the call does not end there: an adapter that is pushed must not wait for ever."""
    at_work = Event()

    class Hanging(Worker):
        def sample(self, *args):
            groups = super().sample(*args)
            at_work.wait()
            return groups

    crewed = make(lambda: Hanging(0), stall_seconds=0.2)
    first = crewed.crew.places[0].remote
    first.stands_still = True
    assert len(crewed.fleet.sample(PROBLEMS[:2], SAMPLING, SEEDS[:2])) == 2
    crewed.fleet.load_adapter(Served("first"), version=1)
    assert crewed.said == [
        "engine 1 on here: has neither answered nor computed for 0.2 s (engine.stall_seconds); replaced, 1 of 3 times"
    ]
    at_work.set()
    assert (crewed.engine(0).versions, first.hosted._engine.versions) == ([1], [])
