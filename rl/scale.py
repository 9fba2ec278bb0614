"""The settings of a run that outgrows one process. Importing this loads no torch."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from doubleback.rewards.settings import MayChange, Section

MOST_SHARDS = 1 << 12
"""Most parts of a step's gradient."""
SHARDS = 8
"""Parts of a step's gradient where workers compute it and the recipe does not say."""


Number = Annotated[int, Field(ge=1, le=MOST_SHARDS)]
"""Of places on a cluster."""


class ScaleConfig(Section):
    """A run in more than one process, and on more than one machine."""

    gpus: Annotated[Number | Literal["auto"] | None, MayChange()] = None
    """GPUs of a Ray cluster that the run has, `auto` all of them: one is the trainer's where its machine has any, each
    engine and each gradient worker has one of its own. The cluster is that of `ray start`, else this machine alone
    (docs/scale.md). `null`: no cluster."""
    cpus: Annotated[Number | Literal["auto"] | None, MayChange()] = None
    """The same on machines without GPUs: CPUs that engines and gradient workers have, one each, or OMP_NUM_THREADS
    where that is set. The trainer computes beside them."""
    engines: Annotated[Number | None, MayChange("batches of another size: last bits may differ")] = None
    """How many engines there are on the cluster. `null`: as many as `trainers` leave room for."""
    trainers: Annotated[int, Field(ge=0, le=MOST_SHARDS), MayChange()] = 0
    """How many gradient workers there are, each a process with a base of its own, on the cluster where there is
    one; the trainer then sums what they compute. 0: the trainer computes it. Changes speed and memory alone."""
    shards: Annotated[int, Field(ge=1, le=MOST_SHARDS)] = 1
    """Into how many parts each step's gradient is cut, by whole groups of about as many tokens each. They are summed in
    one order, whoever computes them, so that the number of workers changes no bit; a run keeps it on --resume. With
    `trainers`, 8 where nothing is said."""
    stall_seconds: Annotated[float, Field(gt=0), MayChange()] = 600.0
    """How long a gradient worker may neither answer nor compute before another takes its place."""

    @property
    def cluster_key(self) -> str | None:
        """The key that asks for a cluster; None where none does."""
        return next((key for key in ("gpus", "cpus") if getattr(self, key) is not None), None)

    @model_validator(mode="before")
    @classmethod
    def _workers_have_shards(cls, data: Any) -> Any:
        match data:
            case {"trainers": int(number), **given} if number > 0:
                return {"trainers": number, "shards": min(max(SHARDS, number), MOST_SHARDS), **given}
        return data

    @model_validator(mode="after")
    def _no_contradictions(self) -> "ScaleConfig":
        if findings := list(self._findings()):
            raise ValueError("\n".join(findings))
        return self

    def _findings(self) -> Iterator[str]:
        if self.trainers > self.shards:
            yield (
                f"scale.trainers={self.trainers} are more than scale.shards={self.shards}, and some would have nothing "
                "to do; lower the first or raise the second"
            )
        yield from self._cluster_findings()
        if self.trainers == 0:
            yield from self.without_effect("scale", ("stall_seconds",), "trainers", "1 or more")

    def _cluster_findings(self) -> Iterator[str]:
        key = self.cluster_key
        if self.gpus is not None and self.cpus is not None:
            yield (
                f"scale.gpus={self.gpus} and scale.cpus={self.cpus} both say where the run has its places; leave out "
                "the second, or the first on machines without GPUs"
            )
        elif key is None and self.engines is not None:
            yield (
                f"scale.engines={self.engines} are engines on a cluster, which neither scale.gpus nor scale.cpus asks "
                f"for; set one of them, or engine.processes={self.engines} for this machine alone"
            )
        elif key is not None and isinstance(number := getattr(self, key), int):
            needed = (self.engines or 1) + self.trainers
            if number < needed:
                yield (
                    f"scale.{key}={number} are too few for scale.engines={self.engines or 1} and scale.trainers="
                    f"{self.trainers}, each of which has one of its own; raise it to {needed} or lower these"
                )
