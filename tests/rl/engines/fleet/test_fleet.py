"""Replicas that share every call: what each is given, and which error is told. They are engines in threads."""

from threading import Barrier, Event

import pytest
from support.remote.crewed import PROBLEMS, Served, Worker, workers
from support.remote.threads import ThreadRemote
from support.rollouts import SAMPLING

from doubleback.rewards.types import ConfigError
from doubleback.rl.engines.engine import Load
from doubleback.rl.engines.fleet.crew import Crew
from doubleback.rl.engines.fleet.health import Limits, State
from doubleback.rl.rollout.standing import replica_metrics, standing_of


def test_problems_are_shared_as_evenly_as_they_are_many_and_put_together_by_their_place(make):
    crewed, handed = make(*workers(3)), []
    groups = crewed.sample(lambda *it: handed.append(it))
    asked = [[pair for batch in crewed.engine(index).asked for pair in batch] for index in range(3)]
    assert sorted(pair for pairs in asked for pair in pairs) == [(f"p{row}", 70 + row) for row in range(7)]
    assert [pairs[:2] for pairs in asked] == [[(f"p{row}", 70 + row), (f"p{row + 3}", 73 + row)] for row in range(3)]
    assert sorted(handed, key=lambda pair: pair[0]) == list(enumerate(groups))


def test_no_replica_has_more_than_it_has_room_for_and_who_is_faster_gets_more(make):
    """Four completions at once, half as many more that wait, three a problem: two problems are there. The first answers
    nothing until the second has done all the rest.
    """
    go_on, most = Event(), []

    class Slow(Worker):
        def sample(self, problems, *rest):
            most.append(len(problems))
            go_on.wait()
            return super().sample(problems, *rest)

    crewed = make(lambda: Slow(0), lambda: Worker(1))
    done = []

    def on_group(row, group):
        done.append(row)
        if len(done) == 5:
            go_on.set()

    crewed.sample(on_group)
    assert most[0] == 2
    assert set(done[:5]) == {1, 3, 4, 5, 6}


def test_fewer_problems_than_replicas_and_none(make):
    crewed = make(*workers(3))
    (group,) = crewed.fleet.sample(PROBLEMS[:1], SAMPLING, [1])
    assert group.problem.id == "p0"
    assert [len(crewed.engine(index).asked) for index in range(3)] == [1, 0, 0]
    assert crewed.fleet.sample([], SAMPLING, []) == []


def test_each_scores_and_all_are_given_every_adapter(make):
    crewed = make(*workers(3))
    assert crewed.fleet.score([((9,), (1, 2))]) == [(0.0, 0.0)]
    scores = crewed.fleet.score_each([((9,), (5,))])
    assert scores == {f"engine {number + 1} on here": [(float(number),)] for number in range(3)}
    assert crewed.fleet.score_each([((9,), (5,))], ["engine 2 on here"]) == {"engine 2 on here": [(1.0,)]}
    crewed.fleet.load_adapter(Served("first"), version=4)
    assert [crewed.engine(index).versions for index in range(3)] == [[4]] * 3
    assert {group.completions[0].adapter_hash for group in crewed.sample()} == {"first"}


def test_how_they_stand_is_the_sum_of_those_that_say_so(make):
    first, second = Load(1, 2, 3, 4, 5), Load(10, 20, 30, 40, 50)
    crewed = make(lambda: Worker(0, first), lambda: Worker(1, second), lambda: Worker(2))
    assert crewed.fleet.load() == Load(11, 22, 33, 44, 55)
    assert [(who, health.state) for who, health, _, _ in crewed.fleet.standing()] == [
        (f"engine {number} on here", State.SERVING) for number in (1, 2, 3)
    ]
    assert make(lambda: Worker(0)).fleet.load() is None


@pytest.mark.timeout(60)
def test_the_first_to_fail_is_told_while_others_are_at_work_and_the_next_call_is_clean(make):
    at_work = Event()

    class Slow(Worker):
        def sample(self, *args):
            at_work.wait()
            return super().sample(*args)

    class Refusing(Worker):
        def sample(self, problems, *rest):
            if at_work.is_set():
                return super().sample(problems, *rest)
            raise ConfigError("the prompt is too long")

    crewed = make(lambda: Slow(0), lambda: Refusing(1))
    with pytest.raises(ConfigError, match="the prompt is too long"):
        crewed.sample()
    at_work.set()
    crewed.sample()
    assert crewed.said == []


def test_of_replicas_that_all_fail_the_first_in_order_is_told(make):
    """The second fails first: a prompt that is too long is named by its place, not by who is faster."""
    has_failed = Event()

    class First(Worker):
        def sample(self, *args):
            has_failed.wait()
            raise ConfigError("the first")

    class Second(Worker):
        def sample(self, *args):
            has_failed.set()
            raise ConfigError("the second")

    with pytest.raises(ConfigError, match="the first"):
        make(lambda: First(0), lambda: Second(1)).sample()


def test_one_that_cannot_be_made_is_told_and_none_is_left(make):
    def refuse():
        raise ConfigError("no such model")

    made = [ThreadRemote("x", lambda: Worker(0)), ThreadRemote("y", refuse)]
    crew = Crew(made.__getitem__, 2, Limits(), print)
    with pytest.raises(ConfigError, match="no such model"):
        crew.require_started()
    assert all(remote.is_dead for remote in made)


def test_they_are_closed_at_once(make):
    """Each takes its time to end: one after the other, the first would wait here for the second for ever."""
    closing, crewed = Barrier(2, timeout=60), make(*workers(2))
    for place in crewed.crew.places:
        place.remote.close = closing.wait
    crewed.fleet.close()
    for place in crewed.crew.places:
        place.remote.close = place.remote.kill


def test_how_each_stands_becomes_figures_of_a_step(make):
    """Two that have sampled 100 and 40 tokens so far, and 60 and 20 of them in the step of 2 s."""
    loads = [Load(0, 0, 1, 40, 40), Load(0, 0, 1, 20, 20)]
    crewed = make(lambda: Worker(0, loads[0]), lambda: Worker(1, loads[1]))
    before = standing_of(crewed.fleet)
    for place, tokens in zip(crewed.crew.places, (100, 40), strict=True):
        place.remote.hosted._engine._load = Load(0, 0, 2, tokens, tokens)
    found = replica_metrics(before, standing_of(crewed.fleet), 2.0)
    assert [found[f"fleet/{number}/tokens_per_s"] for number in (1, 2)] == [30, 10]
    assert (found["fleet/serving"], found["fleet/restarts"]) == (2, 0)


def test_what_is_done_does_not_become_less_where_one_is_replaced(make):
    """The progress line counts from the begin of its call on, and said that -30 completions were done."""
    crewed = make(lambda: Worker(0, Load(2, 0, 40, 500, 400)), lambda: Worker(1, Load(0, 0, 10, 100, 100)))
    assert crewed.fleet.load() == Load(2, 0, 50, 600, 500)
    first = crewed.crew.places[0]
    crewed.crew.lose(first, "is broken")
    crewed.crew.until(lambda: first.is_ready)
    assert crewed.fleet.load() == Load(0, 0, 50, 500, 500)  # what was under way is sampled anew
    crewed.engine(0)._load = Load(1, 0, 3, 45, 30)
    assert crewed.fleet.load() == Load(1, 0, 53, 545, 530)
    assert crewed.fleet.standing()[0][3] == Load(1, 0, 3, 45, 30)
