"""The replicas of a fleet: started, given adapters, asked for receipts, and replaced where they fail.

All of it happens in the thread of whoever calls the fleet, one event after the other; what goes on elsewhere posts
events. Between calls nothing is looked at, but a replacement starts meanwhile.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from doubleback.rewards.types import RunError, first_line
from doubleback.rl.engines.engine import Proof
from doubleback.rl.engines.fleet.health import ALIVE, Limits, State, num_left
from doubleback.rl.engines.fleet.place import Place, Served
from doubleback.rl.hanging import LOOK_SECONDS, STOPPING_SECONDS
from doubleback.rl.remote.remote import DeadRemoteError, OnPart, Remote
from doubleback.rl.stopping import STOP

SAME_FAULT_SECONDS = 1.0
"""How long the others have after a call failed in one: one that is wrong fails in all, and the first is then named."""


class Crew:
    """`start` starts the replica of a place, from 0. `say` is told of every death, in a line."""

    def __init__(self, start: Callable[[int], Remote], count: int, limits: Limits, say: Callable[[str], None]) -> None:
        self._start, self._limits, self._say = start, limits, say
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._errors: dict[int, Exception] = {}
        """Index of a place -> what a call raised there, which is no fault of the place."""
        self._served: Served | None = None
        self._proof: Proof | None = None
        self._now, self._looked = 0.0, monotonic()
        self._has_started = False
        self._given_up = ""
        """Why nothing is waited for any more."""
        self.again: list[int] = []
        """Rows of the call under way that were lost, and are to be asked again."""
        self.places = [Place(index, start(index)) for index in range(count)]
        for place in self.places:
            self._await_start(place)

    @property
    def ready(self) -> list[Place]:
        """Those that can be called."""
        return [place for place in self.places if place.is_ready]

    @property
    def serving(self) -> list[Place]:
        """Those that may sample."""
        return [place for place in self.places if place.health.state == State.SERVING]

    @property
    def served(self) -> Served | None:
        """The adapter that all are to serve; None: the bare base."""
        return self._served

    def require_started(self) -> None:
        """Return once all are there. What kept one from starting is raised, and all are ended."""
        try:
            self.until(lambda: len(self.ready) == len(self.places))
        except BaseException:
            for place in self.places:
                place.remote.kill()
            raise
        self._has_started = True

    def serve(self, served: Served) -> None:
        """Have all serve it; return when those have it that served before, and one at least."""
        if self._served is None or self._served.adapter_hash != served.adapter_hash:
            self._proof = None  # until the receipts of this one are there
        self._served = served
        for place in self.ready:
            place.health = place.health.pushed(self._now)
            self._advance(place)
        self.until(
            lambda: (
                any(place.served is served for place in self.ready)
                and all(place.served is served or place.is_new for place in self.ready)
            )
        )

    def settle(self, proof: Proof, judged: Mapping[str, str]) -> None:
        """Who serves from now on: see `rl.engines.engine.Replicated`."""
        self._proof = proof
        for place in self.ready:
            fault = judged.get(place.who)
            if fault:
                self.lose(place, fault)
            elif fault is not None:
                place.proof = proof
            self._advance(place)

    def gather(self, places: Sequence[Place], method: str, *arguments: Any) -> dict[int, Any]:
        """Index -> the answer of each that does not die over it."""
        answers: dict[int, Any] = {}
        asked = [(place, place.remote) for place in places]
        for place in places:
            self.ask(place, partial(answers.__setitem__, place.index), method, *arguments)
        self.until(
            lambda: all(it.index in answers or it.remote is not remote or not it.is_ready for it, remote in asked)
        )
        return answers

    def ask(
        self, place: Place, then: Callable[[Any], None], method: str, *arguments: Any, on_part: OnPart | None = None
    ) -> None:
        """Call a replica; `then` gets the answer, and `on_part` its parts, unless it is lost meanwhile."""
        remote = place.remote

        def is_there() -> bool:
            return place.remote is remote and place.health.state in ALIVE

        def ended(answer: Future[Any]) -> None:
            if not is_there():
                return
            place.num_calls -= 1
            place.health = place.health.spoke(self._now)
            error = answer.exception()
            if error is None:
                then(answer.result())
                if is_there() and place.health.state == State.STALE:
                    self._advance(place)
            elif isinstance(error, DeadRemoteError) or place.is_new:
                self.lose(place, first_line(error))
            else:
                assert isinstance(error, Exception)
                self._errors[place.index] = error

        def came(part: Any) -> None:
            if on_part is not None and is_there():
                place.health = place.health.spoke(self._now)
                on_part(part)

        self.wake(place)
        place.num_calls += 1
        parts = None if on_part is None else lambda part: self._events.put(partial(came, part))
        future = remote.call(method, *arguments, on_part=parts)
        future.add_done_callback(lambda answer: self._events.put(partial(ended, answer)))

    def wake(self, place: Place) -> None:
        """From now on a replica is waited for, which had nothing to do."""
        if not place.is_at_work:
            place.health = replace(place.health, heard=self._now)

    def until(self, is_done: Callable[[], bool], each: Callable[[], None] = lambda: None) -> None:
        """Take events, and call `each` before every one, until `is_done`. What a call raised is raised here."""
        if self._given_up:  # as a call in another thread was told, which nobody may have heard yet
            raise RunError(self._given_up)
        self._errors.clear()
        failed_at = None
        while not is_done():
            each()
            if self._errors:
                failed_at = failed_at or monotonic()
                if monotonic() - failed_at > SAME_FAULT_SECONDS or not any(place.num_calls for place in self.ready):
                    raise self._errors[min(self._errors)]
            if (event := self._next()) is not None:
                event()
            if monotonic() - self._looked >= LOOK_SECONDS:
                self._look()

    def _next(self) -> Callable[[], None] | None:
        try:
            return self._events.get(timeout=min(LOOK_SECONDS, SAME_FAULT_SECONDS))
        except Empty:
            return None

    def lose(self, place: Place, why: str) -> None:
        """End a replica that is dead or of no use, and start another. RunError where there are too few then, or where
        nobody waits for it, since the command was asked to stop.
        """
        who, num_lost = place.who, len(place.rows)
        place.remote.kill()
        place.health = place.health.died(why, self._limits)
        self.again += sorted(place.rows)
        place.rows, place.num_calls = set(), 0
        if STOP.asked is not None or not self._has_started or self._given_up:
            raise self._end(f"{who}: {why}")
        left, limits = num_left(it.health for it in self.places), self._limits
        again = f"; {num_lost} problems are asked again" if num_lost else ""
        if place.health.state == State.DEAD:
            self._say(f"{who}: {why}{again}; replaced, {place.health.restarts + 1} of {limits.restarts} times")
            place.taken_by(self._start(place.index), place.health.replaced(self._now))
            self._await_start(place)
        elif left < limits.floor:
            used = f"engine.restarts={limits.restarts} is used up and leaves {left} of engine.floor={limits.floor}"
            raise self._end(f"{who}: {why}; {used}")
        else:
            self._say(f"{who}: {why}{again}; not replaced any more (engine.restarts={limits.restarts})")

    def _end(self, why: str) -> RunError:
        self._given_up = self._given_up or why
        return RunError(why)

    def close(self) -> None:
        """End all of them, at once; who is still called says so, and none is started in the place of one of them."""
        self._given_up = self._given_up or "the engines were closed"
        with ThreadPoolExecutor(len(self.places)) as closing:
            list(closing.map(lambda place: place.remote.close(), self.places))

    def _await_start(self, place: Place) -> None:
        remote = place.remote

        def started(answer: "Future[None]") -> None:
            if place.remote is not remote or place.health.state != State.STARTING:
                return
            if (error := answer.exception()) is None:
                place.health = place.health.started(self._now)
                self._advance(place)
            elif self._has_started or isinstance(error, DeadRemoteError):
                self.lose(place, first_line(error))
            else:
                raise error

        remote.started.add_done_callback(lambda answer: self._events.put(partial(started, answer)))

    def _advance(self, place: Place) -> None:
        """What a replica needs before it serves: the adapter, and a receipt. One after the other."""
        served, proof = self._served, self._proof
        if not place.is_ready or place.num_calls:
            return  # it is looked at again when it has answered

        def has_loaded(_: Any) -> None:
            place.served = served

        def has_scored(scores: Any) -> None:
            if proof is self._proof and proof is not None and (fault := proof.fault(scores)):
                self.lose(place, fault)
            else:
                place.proof = proof

        if served is not None and place.served is not served:
            self.ask(place, has_loaded, "load_adapter", served.adapter, served.version)
        elif proof is not None and place.proof is not proof:
            self.ask(place, has_scored, "score", proof.sequences)
        else:
            place.health, place.is_new = place.health.proven(self._now), False

    def _look(self) -> None:
        """Whether those that are at work show a sign of life. A look counts as a second, however late it comes."""
        self._looked, self._now = monotonic(), self._now + LOOK_SECONDS
        limits = self._limits
        if STOP.asked is not None:
            limits = replace(limits, stall_seconds=min(STOPPING_SECONDS, limits.stall_seconds))
        for place in self.places:
            if place.is_at_work:
                has_computed = place.has_computed()
                place.health = place.health.spoke(self._now) if has_computed else place.health.looked(self._now, limits)
                if place.health.is_silent(self._now, limits):
                    said = f"has neither answered nor computed for {limits.stall_seconds:g} s (engine.stall_seconds)"
                    self.lose(place, said)
