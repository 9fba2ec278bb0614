"""The settings of the engine, with every default. Importing this loads no torch."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from doubleback.rewards.contract.lookup import is_location
from doubleback.rewards.nearest import nearest
from doubleback.rewards.settings import MayChange, Mebibytes, Seconds, Section
from doubleback.rl.engines.setup import MERGED, EngineSetup, Strategy
from doubleback.rl.engines.table import ENGINES, engine_row
from doubleback.rl.types import ModelSource

OF_THE_PROCESS = frozenset({"name", "processes", "stall_seconds", "restarts", "floor"})
"""Keys that matter whichever engine it is."""


class EngineConfig(Section):
    """Who generates, and within which limits."""

    name: str = "vllm"
    """Who generates: a row of `rl.engines.table`, or an engine of yours at `path.py:attr` or `package.module:attr`.
    `transformers` is the slow, plain reference."""
    kv_cache_mib: Annotated[Annotated[Mebibytes, Field(ge=16)] | Literal["auto"], MayChange()] = "auto"
    """vLLM: memory for the key-value cache, in MiB. `auto`: what max_num_seqs completions of model.max_length tokens
    fill, 256 at least, or as much as fits into `memory_share`."""
    max_num_seqs: Annotated[
        int, Field(ge=1, le=1 << 16), MayChange("batches of another size: last bits may differ")
    ] = 256
    """Completions that are generated at the same time."""
    processes: Annotated[int, Field(ge=1, le=64), MayChange("batches of another size: last bits may differ")] = 1
    """Engines that share the problems of every call, each in a process of its own where there are several: of use where
    a core, or a GPU, would be idle. max_num_seqs and kv_cache_mib are those of all of them together."""
    return_routed_experts: bool = True
    """Have the engine report the experts that it chose for each token: they are compared with the trainer's, and
    replayed where algorithm.routing_replay asks for it."""
    stall_seconds: Annotated[Seconds, MayChange()] = 60.0
    """How long an engine may neither answer nor compute. One in a process of its own (`rollout.ahead`) is then
    replaced; vLLM in this process ends the run, and on CUDA each of its calls has to return within it."""
    restarts: Annotated[int, Field(ge=0, le=1000), MayChange()] = 3
    """How often each engine in a process of its own is replaced where it dies, hangs, serves another adapter or returns
    what is no number; what it had is asked again, with the same seeds. 0: the first such fault ends the run."""
    floor: Annotated[int, Field(ge=1, le=64), MayChange()] = 1
    """How many engines there must be: the run ends where more were replaced too often."""

    @model_validator(mode="after")
    def _keys_fit_the_name(self) -> "EngineConfig":
        if findings := list(self._findings()):
            raise ValueError("\n".join(findings))
        return self

    def _findings(self) -> Iterator[str]:
        if self.name not in ENGINES and not is_location(self.name):
            yield (
                f"engine.name={self.name} is neither an engine nor the place of one (path.py:attr, "
                f"package.module:attr); {nearest(self.name, ENGINES)}"
            )
            return
        for key in sorted(type(self).model_fields.keys() - OF_THE_PROCESS - engine_row(self.name).reads):
            readers = [name for name, row in ENGINES.items() if key in row.reads]
            yield from self.without_effect("engine", (key,), "name", " or ".join(readers))

    def setup(self, model: ModelSource, strategy: Strategy = MERGED, has_stop_strings: bool = False) -> EngineSetup:
        """These settings as an engine takes them, with what the rest of a recipe decides."""
        return EngineSetup(
            engine=self.name,
            model=model,
            strategy=strategy,
            max_num_seqs=self.max_num_seqs,
            kv_cache_mib=None if self.kv_cache_mib == "auto" else self.kv_cache_mib,
            returns_routes=self.return_routed_experts,
            has_stop_strings=has_stop_strings,
            stall_seconds=self.stall_seconds,
            processes=self.processes,
            restarts=self.restarts,
            floor=self.floor,
        )
