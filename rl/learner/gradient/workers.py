"""The gradients of a step's shards, computed by workers elsewhere. See `rl.learner.gradient.shards.Gradients`.

Each idle worker is given the next shard; answers are handed on in the shards' order. A worker that dies, hangs, or
answers with what cannot be true is named and replaced, and its shard is computed again by another: to the same bits.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from doubleback.rewards.types import ConfigError, RunError, first_line
from doubleback.rl.hanging import LOOK_SECONDS, Silence
from doubleback.rl.learner.finite import spoiled
from doubleback.rl.learner.gradient.passes import Passes
from doubleback.rl.learner.gradient.shards import Gradient, Shard
from doubleback.rl.learner.gradient.worker import Answer, as_vector, gradient_in, on_its_way
from doubleback.rl.policy import lora
from doubleback.rl.remote.remote import Remote
from doubleback.rl.stopping import STOP

Start = Callable[[int, str], Remote]
"""Starts worker number `index`, from 0, of this name: its object is a `rl.learner.gradient.worker.GradientWorker`."""
MOST_RESTARTS = 3
"""How often each worker may be started anew in a run: what fails more often fails for a reason that stays."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What workers are held to."""

    base_hash: str
    """Of the trainer's own base, which theirs must be."""
    stall_seconds: float
    """How long a worker may neither answer nor compute."""
    stall_key: str
    """The key of the recipe that says so."""


@dataclass(slots=True)
class _Seat:
    """The place of one worker, which several may have in turn."""

    index: int
    remote: Remote
    hash_of_base: "Future[str]"
    """Done once it has started."""
    silence: Silence
    restarts_left: int = MOST_RESTARTS
    is_serving: bool = False
    """Whether it has proven to have the trainer's base."""
    is_gone: bool = False
    """For good."""
    work: "tuple[int, Future[Answer]] | None" = None
    """The number of the shard that it computes, and what will come of it."""


@dataclass(slots=True)
class _Step:
    """The shards of one pass, and how far they are."""

    passes: Passes
    adapter: lora.Adapter
    arguments: list[tuple[Any, Any, Any]]
    """Of the call for each shard."""
    left: deque[int]
    done: dict[int, Gradient] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    """Shards whose gradient was not finite once: whom two say so of, it is the run that has diverged."""


class Workers:
    """Several gradient workers. They are started at once, and not waited for: `require_started` does that."""

    def __init__(
        self,
        start: Start,
        num_workers: int,
        num_shards: int,
        limits: Limits,
        say: Callable[[str], None],
        share: Callable[[Any], Any] = lambda value: value,
    ) -> None:
        """`say` is given a line for each worker that is replaced; `share` an adapter, to send it to several at once."""
        self._start, self._num_shards, self._limits = start, num_shards, limits
        self._say, self._share = say, share
        self._seats = [self._seated(index) for index in range(num_workers)]

    @property
    def num_shards(self) -> int:
        """Into how many shards a step is cut, whatever the number of workers."""
        return self._num_shards

    def require_started(self) -> None:
        """Return once all are there. ConfigError or RunError with what kept the first in order from it."""
        for seat in self._seats:
            while not seat.hash_of_base.done():
                wait([seat.hash_of_base], timeout=LOOK_SECONDS)
                if not seat.hash_of_base.done() and (why := self._silent(seat)):
                    raise RunError(f"{seat.remote.name}: {why}")
            try:
                found = self._base_of(seat)
            except ConfigError:
                raise
            except RunError as error:
                raise RunError(f"{seat.remote.name} cannot start: {first_line(error)}") from error
            if found != self._limits.base_hash:
                raise ConfigError(f"model.path: {self._other_base(seat)}")
            seat.is_serving = True

    def compute(self, passes: Passes, shards: Sequence[Shard]) -> Iterator[Gradient]:
        """The gradients in the shards' order, each as soon as those before it are there.

        RunError where no worker is left that could compute one.
        """
        adapter = lora.export(passes.model)
        vector = self._share(as_vector([adapter.tensors[name] for name in sorted(adapter.tensors)]))
        arguments = [(adapter.hash, vector, on_its_way(shard)) for shard in shards]
        step = _Step(passes, adapter, arguments, deque(range(len(shards))))
        for index in range(len(shards)):
            while index not in step.done:
                self._go_on(step)
            yield step.done.pop(index)

    def close(self) -> None:
        """End all of them."""
        for seat in self._seats:
            if not seat.is_gone:
                seat.remote.close()

    def _seated(self, index: int) -> _Seat:
        remote = self._start(index, f"gradient worker {index}")
        base = remote.call("base_hash")
        return _Seat(index, remote, base, Silence(self._limits.stall_seconds, remote.processor_seconds()))

    def _go_on(self, step: _Step) -> None:
        """Hand out what is left, wait for whatever comes first, and take it."""
        for seat in self._seats:
            if step.left and seat.is_serving and seat.work is None:
                self._hand_out(seat, step)
        live = [seat for seat in self._seats if not seat.is_gone]
        if not live:
            if STOP.asked is not None:
                raise RunError("no gradient worker is left, and none is started while the command stops")
            raise RunError(
                f"no gradient worker is left: each was started anew {MOST_RESTARTS} times, and the lines above say "
                "what became of it; earlier checkpoints are kept, go on with --resume and scale.trainers=0, or less"
            )
        awaited: list[Future[Any]] = [
            seat.work[1] if seat.work else seat.hash_of_base for seat in live if self._is_busy(seat)
        ]
        came = wait(awaited, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED).done
        for seat in live:
            if not self._is_busy(seat):
                continue
            if seat.work is None and seat.hash_of_base in came:
                self._admit(seat)
            elif seat.work is not None and seat.work[1] in came:
                self._take(seat, step)
            elif not came and (why := self._silent(seat)):
                self._replace(seat, why, step)

    @staticmethod
    def _is_busy(seat: _Seat) -> bool:
        return seat.work is not None or not seat.is_serving

    def _hand_out(self, seat: _Seat, step: _Step) -> None:
        index = step.left.popleft()
        seat.silence = Silence(self._limits.stall_seconds, seat.remote.processor_seconds())
        seat.work = index, seat.remote.call("gradient", *step.arguments[index])

    def _admit(self, seat: _Seat) -> None:
        """Let a worker that was started anew serve, if it has the trainer's base."""
        try:
            found = self._base_of(seat)
        except (ConfigError, RunError, ValueError, RuntimeError) as error:
            self._replace(seat, f"it cannot start: {first_line(error)}")
            return
        if found == self._limits.base_hash:
            seat.is_serving = True
        else:
            self._replace(seat, self._other_base(seat))

    def _take(self, seat: _Seat, step: _Step) -> None:
        """The answer, if it can be true."""
        assert seat.work is not None
        index, future = seat.work
        try:
            answer = future.result()
            if answer.adapter_hash != step.adapter.hash:
                raise ValueError(f"it answers with the gradient of another adapter, {answer.adapter_hash[:12]}")
            gradient = gradient_in(answer, step.passes.parameters)
        except (ConfigError, RunError, ValueError, RuntimeError) as error:
            self._replace(seat, first_line(error), step)
            return
        tensors = [("gradient", tensor) for tensor in gradient.tensors if tensor is not None]
        if spoiled(tensors) is not None and index not in step.refused:
            step.refused.add(index)
            self._replace(seat, "its gradient is not finite", step)
            return
        step.done[index] = gradient
        seat.work = None

    def _silent(self, seat: _Seat) -> str:
        """Why not to wait for it any more, after a look at it; empty where it is at work."""
        if not seat.silence.is_too_long(seat.remote.processor_seconds()):
            return ""
        return f"it has neither answered nor computed for {seat.silence.limit:g} s ({self._limits.stall_key})"

    @staticmethod
    def _base_of(seat: _Seat) -> str:
        """The hash of its base; what kept it from being made, where that is why there is none."""
        if seat.remote.started.done():
            seat.remote.started.result()
        return seat.hash_of_base.result()

    @staticmethod
    def _other_base(seat: _Seat) -> str:
        return f"{seat.remote.name} on {seat.remote.node} has loaded another base than the trainer"

    def _replace(self, seat: _Seat, why: str, step: _Step | None = None) -> None:
        """Start another in its place, as often as may be; what it was computing is left to be computed again."""
        shard = ""
        if seat.work is not None and step is not None:
            step.left.appendleft(seat.work[0])
            shard = f"; shard {seat.work[0] + 1} of {len(step.arguments)} is computed again"
        # A signal for a whole group ends workers too: to start others would hold up the end that was asked for.
        is_over = STOP.asked is not None
        again = "it is started anew" if seat.restarts_left else f"it was started anew {MOST_RESTARTS} times, no more"
        again = "it is not started anew, for the command was asked to stop" if is_over else again
        self._say(f"{seat.remote.name} on {seat.remote.node}: {why}{shard}; {again}")
        with suppress(RunError):
            seat.remote.kill()
        if seat.restarts_left == 0 or is_over:
            seat.is_gone, seat.is_serving, seat.work = True, False, None
            return
        self._seats[seat.index] = self._seated(seat.index)
        self._seats[seat.index].restarts_left = seat.restarts_left - 1
