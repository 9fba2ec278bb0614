"""What an engine is given: plain values, whoever made them. Importing this loads no torch."""

from dataclasses import dataclass, replace
from math import ceil

from doubleback.rl.types import ModelSource


@dataclass(frozen=True, slots=True)
class Strategy:
    """The way of adapters into the engine, as `rl.engines.delivery` chooses it."""

    name: str
    """"merged" or "runtime"."""
    reason: str
    """Why it was chosen, as the command line shows it."""
    max_rank: int = 0
    """Runtime: the rank that the engine must have room for, one of `rl.engines.delivery.RANKS`."""
    modules: tuple[str, ...] = ()
    """Runtime: last names of the modules that carry an adapter, as transformers calls them."""


MERGED = Strategy("merged", "the default")


@dataclass(frozen=True, slots=True)
class EngineSetup:
    """One engine, before it is started.

    Example: EngineSetup("vllm", ModelSource("runs/base", "float32", 256), MERGED, 256, 256, True, False).
    """

    engine: str
    """A name of `rl.engines.table`, or the location of an engine that is not ours."""
    model: ModelSource
    strategy: Strategy
    max_num_seqs: int
    """Completions that are generated at the same time, by all processes."""
    kv_cache_mib: int | None
    """Memory for the key-value cache, in MiB, where the engine has one of a fixed size. None: what max_num_seqs
    completions of the model's length fill (`rl.policy.cache`)."""
    returns_routes: bool
    """Whether to report the experts that each token was sent to."""
    has_stop_strings: bool
    """Whether any sampling will ask for stop strings; vLLM then needs a tokenizer of its own."""
    stall_seconds: float = 60.0
    """How long it may neither answer nor compute (`rl.hanging`)."""
    processes: int = 1
    """Engines that share this setup and every call, each in a process of its own where there are several."""

    restarts: int = 3
    """How often each of them is replaced."""
    floor: int = 1
    """How many of them there must be."""

    @property
    def share(self) -> "EngineSetup":
        """What one of the `processes` is given: the completions and the cache are those of all of them together."""
        cache = None if self.kv_cache_mib is None else self.kv_cache_mib // self.processes
        num_seqs = ceil(self.max_num_seqs / self.processes)
        return replace(self, max_num_seqs=num_seqs, kv_cache_mib=cache, processes=1)
