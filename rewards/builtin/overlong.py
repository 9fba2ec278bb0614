"""Rewards for the length of a completion."""

from collections.abc import Sequence
from typing import Any

from doubleback.rewards.types import ConfigError


class SoftOverlong:
    """0 up to `max_tokens - buffer` tokens, then a straight line down to -1 at `max_tokens` (DAPO, arXiv:2503.14476,
    eq. 13).

    A cut-off completion gets -1, so that a policy learns to come to an end before the limit. Where we differ: nothing
    is longer than `max_tokens` here, since the engine cuts there. Failure case: a right answer in the last tokens is
    punished like a wrong one, so a large weight shortens thinking. Column `completion_ids`. TRL's reward signature.
    """

    def __init__(self, max_tokens: int, buffer: int = 32) -> None:
        if not 0 < buffer < max_tokens:
            raise ConfigError(f"overlong: buffer={buffer} must be from 1 to below max_tokens={max_tokens}; lower it")
        self._start, self._buffer = max_tokens - buffer, buffer
        self.__name__ = "overlong"

    def __call__(self, completion_ids: Sequence[Sequence[int]], **kwargs: Any) -> list[float | None]:
        """The penalty per completion, from -1 to 0, by TRL's signature."""
        return [-min(1.0, max(0.0, (len(ids) - self._start) / self._buffer)) for ids in completion_ids]
