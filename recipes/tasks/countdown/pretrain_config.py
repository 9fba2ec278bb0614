"""Settings of a Countdown base. Loads without torch."""

from typing import Annotated

from pydantic import Field

from doubleback.recipes.pretrain.config import PretrainConfig
from doubleback.rewards.builtin.countdown import NUM_NUMBERS


class CountdownPretrainConfig(PretrainConfig):
    """Pre-training on Countdown's traces."""

    num_numbers: Annotated[int, Field(ge=min(NUM_NUMBERS), le=max(NUM_NUMBERS))] = 3
    """Size of the problems. Only their pre-training split is seen."""

    @property
    def longest_prompt(self) -> int:
        """`<bos>`, numbers, arrow and target, and room to spare."""
        return 2 + 2 * self.num_numbers
