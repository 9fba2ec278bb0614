"""Several engines elsewhere as one. See `rl.engines.engine.Engine`.

There is one queue of problems, and each replica has as many of them as it has room for; whoever is faster so gets more.
No bit depends on that: a sample is a function of problem, seed and adapter, and groups are put together by the place of
their problem. A replica that dies, hangs, serves another adapter or returns what is no number is named and replaced,
and what it had is asked again, with the same seeds. The new one serves only when it has proven that it has the adapter.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from heapq import heapify, heappop, heappush
from threading import Lock
from typing import Any

from doubleback.rewards.types import Problem
from doubleback.rl.engines.engine import NO_ADAPTER, Asked, Load, OnGroup, Proof, Scores
from doubleback.rl.engines.fleet.crew import Crew
from doubleback.rl.engines.fleet.health import Health
from doubleback.rl.engines.fleet.place import Place, Served
from doubleback.rl.policy.lora import Adapter
from doubleback.rl.types import Group, Sampling, TokenSequence

ROOM = 1.5
"""How many completions a replica has at once, against those that it generates at once: the rest waits there, so that
it need not wait for this side."""


class Fleet:
    """Made by `rl.engines.create`. One call at a time, from whatever thread."""

    def __init__(self, crew: Crew, max_num_seqs: int, share: Callable[[Any], Any]) -> None:
        """`max_num_seqs`: completions that each generates at once. `share` prepares what is passed to all of them."""
        self._crew, self._max_num_seqs, self._share = crew, max_num_seqs, share
        self._lock = Lock()
        self._number = 0

    def load_adapter(self, adapter: Adapter, version: int) -> None:
        """Serve `adapter` from now on, all of them."""
        with self._lock:
            self._crew.serve(Served.of(adapter, version, self._share))

    def sample(
        self,
        problems: Sequence[Problem],
        sampling: Sampling,
        seeds: Sequence[int],
        on_group: OnGroup | None = None,
    ) -> list[Group]:
        """A group for each problem, as `rl.engines.engine.Sampler` says."""
        asked = [(row, *pair) for row, pair in enumerate(zip(problems, seeds, strict=True))]
        with self._lock:
            self._number += 1
            call = _Call(self._crew, self._number, asked, sampling, on_group)
            return call.run(math.ceil(ROOM * self._max_num_seqs / sampling.group_size))

    def score(self, sequences: Sequence[TokenSequence]) -> Scores:
        """Log-probabilities of given completions, by the first that can be asked."""
        while True:  # where it dies over it, the next
            if scores := self._scores(sequences, lambda place: place is self._crew.ready[0]):
                return next(iter(scores.values()))

    def score_each(self, sequences: Sequence[TokenSequence], of: Sequence[str] | None = None) -> dict[str, Scores]:
        """Log-probabilities by each, as `rl.engines.engine.Replicated` says."""
        return self._scores(sequences, lambda place: of is None or place.who in of)

    def settle(self, proof: Proof, judged: Mapping[str, str]) -> None:
        """Who serves from now on, as `rl.engines.engine.Replicated` says."""
        with self._lock:
            self._crew.settle(proof, judged)

    def load(self) -> Load | None:
        """All of them together, as `rl.engines.engine.Watched` says."""
        known = [load for place in self._crew.ready if (load := place.stands()) is not None]
        gone = [place.gone for place in self._crew.places]
        return Load(*map(sum, zip(*map(astuple, [*known, *gone]), strict=True))) if known else None

    def standing(self) -> list[tuple[str, Health, int | None, Load | None]]:
        """Of each replica its name and machine, its health, the version of its adapter, and how its engine stood when
        it was last asked: None where it has not answered then, for figures of long ago make no rate.
        """
        return [
            (it.who, it.health, it.served.version if it.served else None, it.load if it.has_answered else None)
            for it in self._crew.places
        ]

    def close(self) -> None:
        """End all of them, at once. A call that is under way is not waited for."""
        self._crew.close()

    def _scores(self, sequences: Sequence[TokenSequence], is_asked: Callable[[Place], bool]) -> dict[str, Scores]:
        with self._lock:
            self._crew.until(lambda: self._crew.ready != [])
            names = {place.index: place.who for place in self._crew.ready if is_asked(place)}
            places = [self._crew.places[index] for index in names]
            return {names[index]: it for index, it in self._crew.gather(places, "score", sequences).items()}


class _Call:
    """The problems of one call, among whoever serves."""

    def __init__(
        self, crew: Crew, number: int, asked: Sequence[Asked], sampling: Sampling, on_group: OnGroup | None
    ) -> None:
        self._crew, self._number, self._asked, self._sampling, self._on_group = crew, number, asked, sampling, on_group
        self._expected = crew.served.adapter_hash if crew.served else NO_ADAPTER
        self._queue = deque(range(len(asked)))
        self._groups: dict[int, Group] = {}
        self._is_over = False
        crew.again.clear()
        for place in crew.places:
            place.rows, place.num_fed = set(), 0

    def run(self, room: int) -> list[Group]:
        """The groups. No replica has more than `room` problems at once."""
        try:
            self._crew.until(lambda: len(self._groups) == len(self._asked), lambda: self._deal(room))
        finally:
            self._is_over = True
            for place in self._crew.ready:
                if place.num_fed:
                    place.remote.beside("finish", self._number, place.num_fed)
                    self._crew.wake(place)
                    # It is at work until it has ended the call: one that hangs just then is waited for like any other.
                    place.rows, place.num_fed = set(), 0
        return [self._groups[row] for row in range(len(self._asked))]

    def _deal(self, room: int) -> None:
        """Give out what is to be sampled: one problem after the other to whom has the fewest."""
        again, self._crew.again = self._crew.again, []
        self._queue.extendleft(sorted((row for row in again if row not in self._groups), reverse=True))
        loads = [(len(place.rows), place.index) for place in self._crew.serving if len(place.rows) < room]
        heapify(loads)
        given: dict[int, list[int]] = {}
        while self._queue and loads:
            num_rows, index = heappop(loads)
            given.setdefault(index, []).append(self._queue.popleft())
            if num_rows + 1 < room:
                heappush(loads, (num_rows + 1, index))
        for index, rows in sorted(given.items()):
            self._feed(self._crew.places[index], rows)

    def _feed(self, place: Place, rows: Sequence[int]) -> None:
        if place.num_fed == 0:

            def take(part: tuple[int, Group]) -> None:
                self._take(place, *part)

            def ended(adapter_hash: str) -> None:
                if not self._is_over:  # it had to go on until it is told that there is no more
                    self._crew.lose(place, f"serves the adapter {adapter_hash[:12]}, not {self._expected[:12]}")

            self._crew.ask(place, ended, "sample", self._number, self._expected, self._sampling, on_part=take)
        self._crew.wake(place)
        place.rows.update(rows)
        place.num_fed += len(rows)
        place.remote.beside("feed", self._number, [self._asked[row] for row in rows])

    def _take(self, place: Place, row: int, group: Group) -> None:
        if self._is_over:  # another replica failed, and the call with it
            return
        if fault := self._fault(group):
            self._crew.lose(place, fault)
            return
        place.rows.discard(row)
        self._groups[row] = group
        if self._on_group is not None:
            self._on_group(row, group)

    def _fault(self, group: Group) -> str:
        """What is wrong with what a replica returned, as the end of a sentence."""
        for completion in group.completions:
            if completion.adapter_hash != self._expected:
                return f"sampled of the adapter {completion.adapter_hash[:12]}, not {self._expected[:12]}"
            if not all(map(math.isfinite, completion.sampler_logprobs)):
                return "returned a log-probability that is no number"
        return ""
