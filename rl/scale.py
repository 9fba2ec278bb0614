"""The settings of a run that outgrows one process. Importing this loads no torch."""

from typing import Annotated

from pydantic import Field

from doubleback.rewards.settings import Section

MOST_SHARDS = 1 << 12
"""Most parts of a step's gradient."""


class ScaleConfig(Section):
    """A run in more than one process."""

    shards: Annotated[int, Field(ge=1, le=MOST_SHARDS)] = 1
    """Into how many parts each step's gradient is cut, by whole groups of about as many tokens each. They are summed in
    one order, whoever computes them, so that the number of workers changes no bit; a run keeps it on --resume."""
