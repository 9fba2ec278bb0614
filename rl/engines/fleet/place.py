"""The near side of one replica: who is there now, what it was asked, and what it has of what it should have."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Any

from doubleback.rl.engines.engine import Load, Proof
from doubleback.rl.engines.fleet.health import READY, Health, State
from doubleback.rl.hanging import IDLE_SHARE, LOOK_SECONDS
from doubleback.rl.policy.lora import Adapter
from doubleback.rl.remote.remote import Remote

LOAD_SECONDS = 0.2
"""How long the answer may take of a replica that is asked how it stands, for those who watch."""


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """An adapter that all are to serve."""

    adapter: Any
    """As it travels: see `Fleet`."""
    adapter_hash: str
    version: int

    @classmethod
    def of(cls, adapter: Adapter, version: int, share: Callable[[Any], Any]) -> "Served":
        """The adapter, shared once for all."""
        return cls(share(adapter), adapter.hash, version)


@dataclass(slots=True)
class Place:
    """A place of the fleet, and the replica that has it now."""

    index: int
    remote: Remote
    health: Health = field(default_factory=Health)
    served: Served | None = None
    """What it was last given."""
    proof: Proof | None = None
    """What it has proven."""
    num_calls: int = 0
    """Under way."""
    rows: set[int] = field(default_factory=set)
    """Problems of the call under way that it was given and has not answered."""
    num_fed: int = 0
    """Problems of the call under way that this replica was given in all."""
    is_new: bool = True
    """Whether it has not served yet."""
    computed: float = 0.0
    """Processor seconds at the last look."""
    load: "Load | None" = None
    """How its engine stood when it last said so."""
    has_answered: bool = False
    """Whether that was when it was last asked."""
    gone: Load = Load(0, 0, 0, 0, 0)  # noqa: RUF009 (it is frozen)
    """What those had done that had the place before: what is done does not become less where one is replaced."""
    _asked: "Future[Load | None] | None" = None

    @property
    def who(self) -> str:
        """As messages call it, for example "engine 2 on this machine"."""
        return f"{self.remote.name} on {self.remote.node}"

    @property
    def is_ready(self) -> bool:
        """Whether it can be called."""
        return self.health.state in READY

    @property
    def is_at_work(self) -> bool:
        """Whether something is to come of it. One that is sampling and has answered all that it was given waits."""
        num_waiting = 1 if self.num_fed and not self.rows else 0
        return self.num_calls > num_waiting or self.health.state == State.STARTING

    def has_computed(self) -> bool:
        """Whether it was at work since the last look."""
        before, self.computed = self.computed, self.remote.processor_seconds()
        return self.computed - before >= IDLE_SHARE * LOOK_SECONDS

    def stands(self) -> Load | None:
        """How its engine stands, or stood when it last said so."""
        # Who watches asks in a thread of its own: meanwhile another may have had the answer, or the place a new one.
        asked = self._asked
        if asked is not None and asked.done():  # what came too late for who had asked is of then
            self.load, asked = _said(asked), None
        if asked is None:
            asked = self._asked = self.remote.beside("load")
        has_answered = bool(wait([asked], timeout=LOAD_SECONDS).done)
        if has_answered and self._asked is asked:
            self.load, self._asked = _said(asked), None
        self.has_answered = has_answered
        return self.load

    def taken_by(self, remote: Remote, health: Health) -> None:
        """Another replica has the place from now on."""
        self.remote, self.health = remote, health
        if self.load is not None:
            done, tokens = self.gone.done + self.load.done, self.gone.done_tokens + self.load.done_tokens
            self.gone = Load(0, 0, done, tokens, tokens)
        self.served = self.proof = self.load = self._asked = None
        self.has_answered = False
        self.num_calls, self.num_fed, self.computed, self.is_new = 0, 0, 0.0, True
        self.rows = set()


def _said(asked: "Future[Load | None]") -> Load | None:
    return asked.result() if asked.exception() is None else None
