"""Settings of a base for knights and knaves. Loads without torch."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from doubleback.recipes.pretrain.config import ModelShape, PretrainConfig, TraceName
from doubleback.recipes.pretrain.traces import TraceType
from doubleback.recipes.tasks.knights.problems import NUM_PEOPLE
from doubleback.recipes.tasks.knights.traces import BUDGET

DEFAULT_MIX: Mapping[TraceType, float] = {
    TraceType.OPTIMAL: 0.05,
    TraceType.GUESS: 0.50,
    TraceType.SHORT: 0.20,
    TraceType.DEPTH_FIRST: 0.25,
}
"""Share of each type. Of four people a guess is right in one of 16 cases; a quarter of the traces draws conclusions."""

People = Annotated[int, Field(ge=min(NUM_PEOPLE), le=max(NUM_PEOPLE))]


class KnightsPretrainConfig(PretrainConfig):
    """Pre-training on the traces of knights and knaves."""

    people: Annotated[list[People], Field(min_length=1)] = Field(default=[3])
    """How many people a problem has. Only the pre-training split is seen."""
    budget: Annotated[int, Field(ge=24)] = BUDGET
    """Longest completion in tokens, end-of-sequence included."""
    steps: Annotated[int, Field(ge=1)] = 650
    """Optimiser steps."""
    model: ModelShape = ModelShape(num_layers=3, expert_size=64)
    """Shape of the model: what follows from a statement takes a layer more than a sum."""
    mix: Mapping[TraceName, Annotated[float, Field(ge=0)]] = DEFAULT_MIX
    """Share of each trace type. {optimal: 1.0} makes a base without backtracking."""

    @property
    def longest_prompt(self) -> int:
        """`<bos>`, and for each of the people name, three words at most and what ends them."""
        return 1 + 5 * max(self.people)
