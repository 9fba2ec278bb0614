"""A fleet of engines in threads, which do what a test says."""

from dataclasses import replace

from doubleback.rewards.types import Problem
from doubleback.rl.engines.engine import NO_ADAPTER
from doubleback.rl.engines.fleet.crew import Crew
from doubleback.rl.engines.fleet.fleet import Fleet
from doubleback.rl.engines.fleet.replica import Replica
from support.fakes import FakeEngine
from support.remote.threads import ThreadRemote
from support.rollouts import SAMPLING, make_completion

PROBLEMS = [Problem(f"p{row}", "?") for row in range(7)]
SEEDS = range(70, 77)


class Served:
    """In place of an adapter: its hash is all that the fleet looks at."""

    def __init__(self, name):
        self.hash = name


class Worker(FakeEngine):
    """Scores every token with its number; of a problem it samples the seed, of the adapter that it has."""

    def __init__(self, number, load=None):
        super().__init__(lambda problem, seed, count: [self.completion(seed)] * count)
        self.number, self._load, self.adapter_hash, self.versions = number, load, NO_ADAPTER, []

    def completion(self, seed):
        return replace(make_completion((seed,)), adapter_hash=self.adapter_hash)

    def load_adapter(self, adapter, version):
        self.adapter_hash = adapter.hash
        self.versions.append(version)

    def score(self, sequences):
        return [(float(self.number),) * len(completion) for _, completion in sequences]

    def load(self):
        return self._load

    def close(self):
        """Nothing is held."""


class Crewed:
    """A fleet of workers in threads, and what it said."""

    def __init__(self, makes, limits):
        self.said, self.started, self._makes = [], [], makes
        self.crew = Crew(self._start, len(makes), limits, self.said.append)
        self.crew.require_started()
        self.fleet = Fleet(self.crew, 4, lambda value: value)

    def _start(self, index):
        """Its first worker is the one that was asked for; those that replace it are sound."""
        first = index >= len([remote for remote in self.started if remote.name == f"engine {index + 1}"]) + index
        make = self._makes[index] if first else (lambda: Worker(10 + index))
        remote = ThreadRemote(f"engine {index + 1}", lambda: Replica(make()))
        self.started.append(remote)
        return remote

    def engine(self, index):
        """What the replica that has the place now hosts."""
        return self.crew.places[index].remote.hosted._engine

    def sample(self, on_group=None):
        groups = self.fleet.sample(PROBLEMS, SAMPLING, SEEDS, on_group)
        assert [group.problem for group in groups] == PROBLEMS
        assert [group.completions[0].token_ids for group in groups] == [(seed,) for seed in SEEDS]
        return groups


def workers(count):
    return [lambda number=number: Worker(number) for number in range(count)]
