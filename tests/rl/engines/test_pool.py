"""Engines that share every call: who does what is fixed, and the first to fail is told at once."""

from threading import Barrier, Event

import pytest
from support.fakes import FakeEngine
from support.rollouts import SAMPLING, make_completion

from doubleback.rewards.types import Problem, RunError
from doubleback.rl.engines.create import EnginePool
from doubleback.rl.engines.engine import Load


class Worker(FakeEngine):
    """An engine that scores every token with its number."""

    def __init__(self, number, load=None):
        super().__init__(lambda problem, seed, count: [make_completion((number,))] * count)
        self.number, self._load, self.adapters = number, load, []

    def load_adapter(self, adapter, version):
        self.adapters.append((adapter, version))

    def score(self, sequences):
        return [(float(self.number),) * len(completion) for _, completion in sequences]

    def load(self):
        return self._load


@pytest.fixture
def make_pool():
    made = []

    def make(*engines):
        made.append(EnginePool(engines))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def test_problems_are_shared_by_their_place_in_the_call(make_pool):
    workers = [Worker(number) for number in range(3)]
    problems, handed = [Problem(f"p{row}", "?") for row in range(7)], []
    groups = make_pool(*workers).sample(problems, SAMPLING, range(70, 77), on_group=lambda *it: handed.append(it))
    assert [worker.asked for worker in workers] == [
        [[("p0", 70), ("p3", 73), ("p6", 76)]],
        [[("p1", 71), ("p4", 74)]],
        [[("p2", 72), ("p5", 75)]],
    ]
    assert [group.problem for group in groups] == problems
    assert sorted(handed, key=lambda pair: pair[0]) == list(enumerate(groups))


def test_fewer_problems_than_engines(make_pool):
    workers = [Worker(number) for number in range(3)]
    (group,) = make_pool(*workers).sample([Problem("p", "?")], SAMPLING, [1])
    assert group.problem.id == "p"
    assert [len(worker.asked) for worker in workers] == [1, 0, 0]


def test_every_engine_gives_its_share_of_every_score_and_has_every_adapter(make_pool):
    workers = [Worker(number) for number in range(3)]
    pool = make_pool(*workers)
    assert pool.score([((9,), (1, 2, 3, 4)), ((9,), (5,))]) == [(0.0, 1.0, 2.0, 0.0), (0.0,)]
    pool.load_adapter("adapter", version=4)
    assert [worker.adapters for worker in workers] == [[("adapter", 4)]] * 3


def test_how_they_stand_is_the_sum_where_all_are_known(make_pool):
    first, second = Load(1, 2, 3, 4, 5), Load(10, 20, 30, 40, 50)
    assert make_pool(Worker(0, first), Worker(1, second)).load() == Load(11, 22, 33, 44, 55)
    assert make_pool(Worker(0, first), Worker(1)).load() is None


def test_they_are_closed_at_once(make_pool):
    """Each takes its time to end: one after the other, the first would wait here for the second for ever."""
    closing = Barrier(2, timeout=60)

    class Closing(Worker):
        def close(self):
            closing.wait()

    make_pool(Closing(0), Closing(1)).close()


@pytest.mark.timeout(60)
def test_the_first_to_fail_is_told_while_others_are_at_work(make_pool):
    at_work = Event()

    class Slow(Worker):
        def score(self, sequences):
            at_work.wait()

    class Dead(Worker):
        def score(self, sequences):
            raise RunError("it is dead")

    with pytest.raises(RunError, match="it is dead"):
        make_pool(Slow(0), Dead(1)).score([((1,), (2,))])
    at_work.set()


def test_of_engines_that_all_fail_the_first_in_order_is_told(make_pool):
    """The second fails first: a prompt that is too long is named by its place, not by who is faster."""
    has_failed = Event()

    class First(Worker):
        def score(self, sequences):
            has_failed.wait()
            raise RunError("the first")

    class Second(Worker):
        def score(self, sequences):
            has_failed.set()
            raise RunError("the second")

    with pytest.raises(RunError, match="the first"):
        make_pool(First(0), Second(1)).score([((1,), (2,))])
