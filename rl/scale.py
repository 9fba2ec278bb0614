"""The settings of a run that outgrows one process. Importing this loads no torch."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, model_validator

from doubleback.rewards.settings import MayChange, Section

MOST_SHARDS = 1 << 12
"""Most parts of a step's gradient."""
SHARDS = 8
"""Parts of a step's gradient where workers compute it and the recipe does not say."""


class ScaleConfig(Section):
    """A run in more than one process."""

    trainers: Annotated[int, Field(ge=0, le=MOST_SHARDS), MayChange()] = 0
    """How many gradient workers there are, each a process with a base of its own; the trainer then sums what they
    compute. 0: the trainer computes it. Changes speed and memory alone."""
    shards: Annotated[int, Field(ge=1, le=MOST_SHARDS)] = 1
    """Into how many parts each step's gradient is cut, by whole groups of about as many tokens each. They are summed in
    one order, whoever computes them, so that the number of workers changes no bit; a run keeps it on --resume. With
    `trainers`, 8 where nothing is said."""
    stall_seconds: Annotated[float, Field(gt=0), MayChange()] = 600.0
    """How long a gradient worker may neither answer nor compute before another takes its place."""

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
        if self.trainers == 0:
            yield from self.without_effect("scale", ("stall_seconds",), "trainers", "1 or more")
