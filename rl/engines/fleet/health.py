"""How a replica stands: a state machine without a clock, a process or a network of its own.

    starting --started--> stale --proven--> serving <--spoke-- suspect
                            ^                  |--pushed--> stale  |
                            |                  '-----silence-----> '
    starting, stale, serving, suspect --died, or silent for too long--> dead --replaced--> starting
                                                                          '-- restarts used up --> retired

Only a replica that serves is given problems, and nothing but a receipt makes it serve. Time is an argument: seconds on
whatever clock the caller has.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

SUSPECT_SHARE = 0.5
"""Of the time that a replica may be silent, after how much it gets no further problems."""


class State(StrEnum):
    """What may be asked of a replica."""

    STARTING = "starting"
    STALE = "stale"
    """It is there, and has not proven that it serves the adapter in question."""
    SERVING = "serving"
    SUSPECT = "suspect"
    """It serves, but has said nothing for long."""
    DEAD = "dead"
    RETIRED = "retired"
    """Dead, and not to be replaced."""


READY = frozenset({State.STALE, State.SERVING, State.SUSPECT})
"""It can be called."""
ALIVE = READY | {State.STARTING}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a fleet bears."""

    stall_seconds: float = 60.0
    """How long a replica may neither answer nor compute: engine.stall_seconds."""
    restarts: int = 3
    """How often each replica is replaced: engine.restarts."""
    floor: int = 1
    """How many must not be retired: engine.floor."""


@dataclass(frozen=True, slots=True)
class Health:
    """One replica. Each method returns how it stands afterwards."""

    state: State = State.STARTING
    heard: float = 0.0
    """When it gave its last sign of life, or was last asked for one."""
    restarts: int = 0
    """How often it was replaced."""
    why: str = ""
    """Of what it died last."""

    def started(self, now: float) -> "Health":
        """It is there; what it serves is not proven."""
        return self._moved(State.STALE, now) if self.state == State.STARTING else self

    def pushed(self, now: float) -> "Health":
        """Another adapter is to be served from now on."""
        return self._moved(State.STALE, now) if self.state in READY else self

    def proven(self, now: float) -> "Health":
        """Its receipt is there."""
        return self._moved(State.SERVING, now) if self.state in READY else self

    def spoke(self, now: float) -> "Health":
        """It answered, or was seen to compute."""
        state = State.SERVING if self.state == State.SUSPECT else self.state
        return self._moved(state, now) if self.state in ALIVE else self

    def looked(self, now: float, limits: Limits) -> "Health":
        """Nothing came of one that was asked: after a while one that serves is suspect."""
        is_suspect = self.state == State.SERVING and now - self.heard > SUSPECT_SHARE * limits.stall_seconds
        return replace(self, state=State.SUSPECT) if is_suspect else self

    def is_silent(self, now: float, limits: Limits) -> bool:
        """Whether one that was asked has been silent for too long."""
        return self.state in ALIVE and now - self.heard > limits.stall_seconds

    def died(self, why: str, limits: Limits) -> "Health":
        """It is gone, or of no use: dead, or retired where it was replaced as often as may be."""
        if self.state not in ALIVE:
            return self
        state = State.DEAD if self.restarts < limits.restarts else State.RETIRED
        return replace(self, state=state, why=why)

    def replaced(self, now: float) -> "Health":
        """Another is being started in its place."""
        if self.state != State.DEAD:
            return self
        return replace(self, state=State.STARTING, heard=now, restarts=self.restarts + 1)

    def _moved(self, state: State, now: float) -> "Health":
        return replace(self, state=state, heard=now)


def num_left(replicas: Iterable[Health]) -> int:
    """How many are not retired."""
    return sum(health.state != State.RETIRED for health in replicas)
