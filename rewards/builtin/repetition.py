"""A penalty for saying the same thing again and again."""

import math
from collections.abc import Hashable, Sequence
from itertools import islice
from typing import Any

from doubleback.rewards.types import ConfigError


def repeated_share(symbols: Sequence[Hashable], ngram_size: int) -> float:
    """1 - distinct n-grams / n-grams, in [0, 1): 0.0 where none repeats, or fewer than `ngram_size` symbols stand.

    For `a b a b a` and n = 2: ab ba ab ba, two distinct of four, 0.5. The symbols may be token ids or words.
    """
    num_ngrams = len(symbols) - ngram_size + 1
    if num_ngrams < 1:
        return 0.0
    ngrams = zip(*(islice(symbols, start, None) for start in range(ngram_size)), strict=False)
    return 1 - len(set(ngrams)) / num_ngrams


class Repetition:
    """`max_penalty` times the share of repeated n-grams of token ids: 0.0 for none, towards `max_penalty` for a loop.

    Source: the n-gram repetition penalty of "Demystifying Long Chain-of-Thought Reasoning" (arXiv:2502.03373,
    appendix). Where we differ: the paper penalises each token of a repeated n-gram at its place; here, as in TRL's
    `get_repetition_penalty_reward` (same parameters, same values), the completion gets one number.

    Token ids rather than words: no language is cut up wrongly, and a text without spaces is not one long word.
    Failure cases: a loop longer than the completion, or one that counts upwards ("try 1", "try 2"), repeats few
    n-grams; a table or code repeats many honestly, so keep the weight small. TRL's reward signature.
    """

    def __init__(self, ngram_size: int = 3, max_penalty: float = -1.0) -> None:
        # bool is an int, and True would count as 1.
        if not isinstance(ngram_size, int) or isinstance(ngram_size, bool) or ngram_size < 1:
            raise ConfigError(f"repetition: ngram_size={ngram_size!r} must be a whole number from 1; 3 is usual")
        # Written as what must hold, so that NaN fails it too.
        if not isinstance(max_penalty, int | float) or not -math.inf < max_penalty <= 0:
            raise ConfigError(f"repetition: max_penalty={max_penalty!r} must be finite and at most 0; -1.0 is usual")
        self._ngram_size, self._max_penalty = ngram_size, max_penalty
        self.__name__ = "repetition"

    def __call__(self, completion_ids: Sequence[Sequence[int]], **kwargs: Any) -> list[float | None]:
        """The penalty per completion, by TRL's signature."""
        shares = [repeated_share(ids, self._ngram_size) for ids in completion_ids]
        # 0.0, not -0.0: the product with a negative number would show in logs.
        return [share * self._max_penalty if share else 0.0 for share in shares]
