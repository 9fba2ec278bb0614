"""Reflection phrases in free text: "wait", "let me check", "on second thought".

A word list measures style, not backtracking. It fires on every text that is padded with "double-check", whether or not
anything is checked; where states can be replayed, `eval.measures.backtracking` measures the thing itself. So these
figures are called reflection phrases wherever they are shown, and stand beside how often an answer is right with and
without one.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

PHRASES = (
    *("wait", "hold on", "hmm", "actually", "alternatively", "on second thought", "on second thoughts"),
    *("let me check", "let me verify", "let me re-check", "let me recheck", "let me double-check", "let me reconsider"),
    *("let me think again", "let me try again", "let's check", "let's verify", "let's double-check", "let's try again"),
    *("let's go back", "double-check", "double check", "re-check", "recheck", "that is wrong", "that's wrong"),
    *("that is not right", "that's not right", "that can't be right", "i made a mistake", "i made an error"),
    *("my mistake", "go back", "going back", "start over", "try again", "try another", "another approach"),
    *("a different approach", "reconsider", "rethink"),
)
"""In lower case; apostrophes straight. A longer phrase goes before a shorter one that it holds."""

# Longest first; word boundaries on both sides. No quantifier over another: linear time.
_PHRASE = re.compile(
    r"(?<!\w)(?:" + "|".join(map(re.escape, sorted(PHRASES, key=len, reverse=True))) + r")(?!\w)", re.IGNORECASE
)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Reflection:
    """Reflection phrases in a set of texts. NaN where undefined."""

    share_with_phrase: float
    """Texts with one or more."""
    per_1000_words: float
    """Mean over texts of phrases per 1,000 words."""
    per_1000_words_right: float
    """The same, of right answers."""
    per_1000_words_wrong: float
    """The same, of wrong ones."""
    accuracy_with_phrase: float
    """Share of right answers among texts with a phrase."""
    accuracy_without_phrase: float
    """The same, among texts without."""


def count_phrases(text: str) -> int:
    """Phrases in the text, none counted twice."""
    return sum(1 for _ in _PHRASE.finditer(text.replace("’", "'")))


def phrases_per_1000_words(text: str) -> float:
    """Phrases per 1,000 words; NaN for no words."""
    num_words = sum(1 for _ in _WORD.finditer(text))
    return 1000 * count_phrases(text) / num_words if num_words else math.nan


def summarise(texts: Sequence[str], is_correct: Sequence[bool]) -> Reflection:
    """The figures of a set of texts, one verdict each."""
    counts = [count_phrases(text) for text in texts]
    rates = [phrases_per_1000_words(text) for text in texts]
    pairs = list(zip(rates, is_correct, strict=True))
    with_phrase = [right for count, right in zip(counts, is_correct, strict=True) if count]
    without = [right for count, right in zip(counts, is_correct, strict=True) if not count]
    return Reflection(
        share_with_phrase=_mean([count > 0 for count in counts]),
        per_1000_words=_mean(rates),
        per_1000_words_right=_mean([rate for rate, right in pairs if right]),
        per_1000_words_wrong=_mean([rate for rate, right in pairs if not right]),
        accuracy_with_phrase=_mean(with_phrase),
        accuracy_without_phrase=_mean(without),
    )


def _mean(values: Sequence[float]) -> float:
    defined = [value for value in values if value == value]
    return sum(defined) / len(defined) if defined else math.nan
