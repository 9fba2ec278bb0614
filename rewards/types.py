"""The values that rewards speak in. Pure Python: a reward can be written and tested without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MAX_SHOWN = 200
"""Characters of a value that a message quotes."""


class ConfigError(Exception):
    """The user's input is wrong. The message is one line a finding: key, value, way out. Shown without a traceback."""


class RunError(Exception):
    """A run had to stop, and the input is not to blame. One line: what was compared or awaited, and what it means."""


def first_line(error: BaseException) -> str:
    """The first line of what an error says, for a line of ours; of one that says nothing, what kind of error it is."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def lines_of(error: BaseException, prefix: str = "") -> list[str]:
    """The lines of what an error says, a finding each, behind `prefix`, which tells where it was found."""
    return [f"{prefix}{line}" for line in str(error).splitlines()]


def shortened(value: Any) -> str:
    """The value as Python writes it, cut where it is long."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # a list in a list in a list ...; a number of over 4,300 digits
        return f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


class Verdict(StrEnum):
    """What a checker found. The last two are faults of the checker, not of the completion, and carry no value."""

    CORRECT = "correct"
    WRONG = "wrong"
    NO_ANSWER = "no_answer"
    BAD_FORMAT = "bad_format"
    TRUNCATED = "truncated"
    TIMEOUT = "timeout"
    GRADER_ERROR = "grader_error"


UNUSABLE = frozenset({Verdict.TIMEOUT, Verdict.GRADER_ERROR})
"""Verdicts whose completions stay out of the group statistics and of the loss."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One question with a checkable answer."""

    id: str
    """Unique and stable: seeds and splits derive from it."""
    prompt: str
    """What the model is given, as text."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """Dataset columns that rewards receive by name, for example {"numbers": [3, 5, 7], "target": 22}."""
    history: tuple[Mapping[str, str], ...] = ()
    """What was said before a question, as chat messages {"role": ..., "content": ...}; a prompt for chat models has
    them before it."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One sampled answer, as the engine made it."""

    text: str
    """The decoded tokens, special tokens of the task kept, end-of-sequence dropped."""
    token_ids: tuple[int, ...]
    """Exactly the ids that were sampled (end-of-sequence included). Never re-tokenised from `text`."""
    sampler_logprobs: tuple[float, ...]
    """The engine's log-probability in nats of each sampled id, at the sampling temperature. len == len(token_ids)."""
    finish_reason: str
    """"stop": ended by itself. "length": cut off at the token limit."""
    policy_version: int
    """The step whose adapter sampled this."""
    adapter_hash: str
    """SHA-256 of that adapter's tensors."""
    seed: int
    """The seed of this sample, derived from (run seed, step, problem, sample)."""

    @property
    def is_truncated(self) -> bool:
        """Whether the engine cut it off at the token limit."""
        return self.finish_reason == "length"


@dataclass(frozen=True, slots=True)
class Score:
    """What a reward says of one completion."""

    value: float | None
    """The reward. None where the completion could not be judged: it is then excluded, never taken for 0."""
    verdict: Verdict
    """Right, wrong, or why there is no telling."""
    extracted: str | None = None
    """The answer that was judged."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Raw value of each component, before weighting, for example {"countdown": 1.0, "format": 1.0}."""
    weighted: Mapping[str, float] = field(default_factory=dict)
    """What each component comes to in `value`, after clip, gate and weight: {"countdown": 1.0, "format": 0.2}."""
    detail: str = ""
    """Why, in a few words, for a person who reads samples."""
    seconds: float | None = field(default=None, compare=False)
    """How long the judgement took, waiting apart. None where it was not timed."""
