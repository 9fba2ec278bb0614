"""The far side of a fleet: an engine in a process or an actor of its own, and the problems that it is fed.

A call of `sample` goes on while problems are fed to it; it ends when all that were announced are sampled. It names the
adapter that it expects, and nothing is sampled of another one.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from doubleback.rl.engines.engine import NO_ADAPTER, Asked, Engine, Fed, Load, load_of
from doubleback.rl.engines.setup import EngineSetup
from doubleback.rl.engines.table import engine_row
from doubleback.rl.policy.base import base_tensors, load_base, load_tokenizer
from doubleback.rl.policy.lora import Adapter
from doubleback.rl.types import Group, Sampling, TokenSequence

Make = Callable[[EngineSetup, Mapping[str, Tensor], PreTrainedTokenizerBase], Engine]


def replica(
    make: Make, setup: EngineSetup, base: Mapping[str, Tensor], tokenizer: PreTrainedTokenizerBase
) -> "Replica":
    """The engine that `make` makes, with a base that was handed over."""
    return Replica(make(setup, base, tokenizer))


def replica_from_disk(make: Make, setup: EngineSetup) -> "Replica":
    """The same on another machine, with the base as it lies in the model's folder there."""
    path, needs_base = setup.model.path, setup.strategy.name != "runtime" or engine_row(setup.engine).needs_base
    base = base_tensors(load_base(setup.model)) if needs_base else {}
    return Replica(make(setup, base, load_tokenizer(path)))


class Replica:
    """An engine, called through `rl.remote.remote.Remote`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._adapter_hash = NO_ADAPTER
        self._inboxes: defaultdict[int, SimpleQueue[Sequence[Asked] | int]] = defaultdict(SimpleQueue)

    def load_adapter(self, adapter: Adapter, version: int) -> None:
        """Serve `adapter` from now on."""
        self._engine.load_adapter(adapter, version)
        self._adapter_hash = adapter.hash

    def score(self, sequences: Sequence[TokenSequence]) -> list[tuple[float, ...]]:
        """Log-probabilities of given completions."""
        return self._engine.score(sequences)

    def sample(
        self, number: int, adapter_hash: str, sampling: Sampling, hand_over: Callable[[tuple[int, Group]], None]
    ) -> str:
        """Sample what `feed` brings for the call `number`, and hand over (number of the problem, group) as they come.

        The answer is the hash of the adapter that is served: where it is not `adapter_hash`, nothing was sampled.
        """
        feed = _Feed(self._inboxes[number])
        if self._adapter_hash == adapter_hash:
            if isinstance(self._engine, Fed):
                self._engine.sample_fed(feed, sampling, lambda place, group: hand_over((place, group)))
            else:
                self._sample_batches(feed, sampling, hand_over)
        del self._inboxes[number]
        return self._adapter_hash

    def feed(self, number: int, asked: Sequence[Asked]) -> None:
        """Problems for the call `number`, which may not have begun yet."""
        self._inboxes[number].put(asked)

    def finish(self, number: int, total: int) -> None:
        """The call `number` is over when it has sampled `total` problems."""
        self._inboxes[number].put(total)

    def load(self) -> Load | None:
        """How the engine stands, where it can say so."""
        return load_of(self._engine)

    def close(self) -> None:
        """Free what the engine holds."""
        self._engine.close()

    def _sample_batches(
        self, feed: "_Feed", sampling: Sampling, hand_over: Callable[[tuple[int, Group]], None]
    ) -> None:
        """Of an engine that takes no problems while it runs: one batch of what there is after the other."""
        while (batch := feed(True)) is not None:
            numbers, problems, seeds = zip(*batch, strict=True)

            def pass_on(row: int, group: Group, numbers: Sequence[int] = numbers) -> None:
                hand_over((numbers[row], group))

            self._engine.sample(problems, sampling, seeds, pass_on)


class _Feed:
    """What has come for a call so far. See `rl.engines.engine.Feed`."""

    def __init__(self, inbox: "SimpleQueue[Sequence[Asked] | int]") -> None:
        self._inbox, self._num_taken = inbox, 0
        self._total: int | None = None

    def __call__(self, waits: bool) -> list[Asked] | None:
        found: list[Asked] = []
        while self._num_taken != self._total:
            try:
                came = self._inbox.get(block=waits and not found)
            except Empty:
                return found
            if isinstance(came, int):
                self._total = came
            else:
                found += came
                self._num_taken += len(came)
        return found or None
