"""What hangs: work that neither comes to an end nor computes.

Silence is counted in looks, not by the clock: a command that was stopped for an hour and goes on (Ctrl-Z, fg) has not
hung meanwhile, and on a busy machine a look comes late.
"""

import time
from collections.abc import Callable
from threading import Event, Thread, get_ident
from typing import ParamSpec, TypeVar

from doubleback.rl.stopping import STOP

LOOK_SECONDS = 1.0
"""How often work that says nothing is looked at."""
IDLE_SHARE = 0.03
"""Who had the processor for less of that time is not at work, but stopped, or waits."""
STOPPING_SECONDS = 2.0
"""The limit on silence once the command was asked to stop: it waits for what is at work, and for nothing else."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Silence:
    """How long some work has shown no sign of life, against a limit in seconds."""

    def __init__(self, limit: float, processor_seconds: float) -> None:
        """`processor_seconds`: what whoever works has computed up to now."""
        self._limit, self._computed, self._seconds = limit, processor_seconds, 0.0

    @property
    def limit(self) -> float:
        """Seconds; fewer once the command was asked to stop."""
        return self._limit if STOP.asked is None else min(STOPPING_SECONDS, self._limit)

    def is_too_long(self, processor_seconds: float) -> bool:
        """A look, LOOK_SECONDS after the one before, at work that has not ended: whether to wait for it no more."""
        has_computed = processor_seconds - self._computed >= IDLE_SHARE * LOOK_SECONDS
        self._computed = processor_seconds
        self._seconds = 0.0 if has_computed else self._seconds + LOOK_SECONDS
        return self._seconds > self.limit


class Watchdog:
    """Ends the command where a call hangs in code that is not Python's, which nothing else can end.

    A thread of its own looks at the calls. Where nobody listens for signals, as in a notebook, the process is not ours
    to end: there it says the line and goes on.
    """

    def __init__(self, what: str, limit: float, *, may_compute: bool) -> None:
        """`what` is watched, as the line calls it, and `limit` is the seconds of silence, with its key.

        `may_compute`: a call that has the processor is at work, however long it takes. Not so on a device for which
        the processor waits in a loop.
        """
        self._what, self._limit, self._may_compute = what, limit, may_compute
        self._silence = "neither returned nor computed" if may_compute else "not returned"
        self._call: tuple[str, int] | None = None
        """What is being done, and the clock of the thread that does it."""
        self._closed = Event()
        self._thread = Thread(target=self._look, daemon=True)
        self._thread.start()

    def call(
        self, doing: str, function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """The function's result: `doing` is what it does, for the line. One call at a time."""
        self._call = doing, time.pthread_getcpuclockid(get_ident())
        try:
            return function(*args, **kwargs)
        finally:
            self._call = None

    def close(self) -> None:
        """Watch no more."""
        self._closed.set()

    def _look(self) -> None:
        watched, silence = None, Silence(self._limit, 0.0)
        while not self._closed.wait(LOOK_SECONDS):
            call = self._call
            if call is not watched:  # each is an object of its own
                watched, silence = call, Silence(self._limit, self._computed(call))
            elif call is not None and silence.is_too_long(self._computed(call)):
                seconds = f"{silence.limit:g} s (engine.stall_seconds)"
                STOP.end_hung(f"{self._what} hangs: {call[0]} has {self._silence} for {seconds}")
                return

    def _computed(self, call: tuple[str, int] | None) -> float:
        """Processor seconds of the call's thread; always 0 where they are no sign of life."""
        if call is None or not self._may_compute:
            return 0.0
        try:
            return time.clock_gettime(call[1])
        except OSError:  # the thread has ended, and the call with it
            return 0.0
