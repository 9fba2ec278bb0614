"""The values that flow through the loop: prompt -> rollout group -> scored -> advantages -> batch.

Each stage returns a new value with one more field filled; nothing is edited in place.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from doubleback.rewards.types import Completion, Problem, Score

TokenSequence = tuple[tuple[int, ...], tuple[int, ...]]
"""(prompt ids, completion ids)"""


@dataclass(frozen=True, slots=True)
class Routes:
    """The experts of one sequence, (N, L, K): row t are those that token t chose, and token t + 1 came of it.

    The last sampled token was never put through the model: N = prompt tokens + completion tokens - 1.
    """

    content: bytes
    """uint8 where there are at most 256 experts, else int16; C order."""
    shape: tuple[int, int, int]

    @classmethod
    def pack(cls, experts_NLK: NDArray[Any]) -> "Routes":
        """As few bytes as hold the expert ids."""
        dtype = np.uint8 if experts_NLK.size == 0 or experts_NLK.max() < 256 else np.int16
        return cls(experts_NLK.astype(dtype).tobytes(), tuple(experts_NLK.shape))

    def unpack(self) -> NDArray[np.int16]:
        """The ids, (N, L, K)."""
        is_narrow = len(self.content) == int(np.prod(self.shape))
        return np.frombuffer(self.content, np.uint8 if is_narrow else np.int16).reshape(self.shape).astype(np.int16)


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a base comes from, as whoever loads it takes it. Example: ModelSource("runs/base", "float32", 256)."""

    path: str
    """A folder or a hub id."""
    dtype: str
    """Precision of its parameters: "float32" or "bfloat16"."""
    max_length: int
    """Context in tokens, prompt and completion together."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How completions are drawn, as an engine takes it: any group size, any temperature, 0 included."""

    group_size: int
    """Completions per problem."""
    temperature: float
    """Softmax temperature; 0 takes the likeliest token."""
    max_tokens: int
    """Longest completion, end-of-sequence included."""
    stop: tuple[str, ...] = ()
    """Strings at which a completion ends."""


@dataclass(frozen=True, slots=True)
class Group:
    """All completions of one problem in one step."""

    problem: Problem
    """The question."""
    prompt_ids: tuple[int, ...]
    """What the engine was given, as token ids."""
    completions: tuple[Completion, ...]
    """group_size samples, in the order of their seeds."""
    scores: tuple[Score, ...] = ()
    """One per completion, after scoring."""
    penalties: tuple[float, ...] = ()
    """One per completion where a KL is taken off the reward: kl_coef * KL, summed over its tokens."""
    advantages: tuple[float | None, ...] = ()
    """One per completion, after assignment. None where the completion could not be judged."""
    routes: tuple[Routes | None, ...] = ()
    """One per completion: the experts that the engine chose. Empty or None where it does not report them."""

    @property
    def has_signal(self) -> bool:
        """Whether any advantage differs from 0: otherwise the group's policy gradient is exactly 0."""
        return any(advantage for advantage in self.advantages)


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion as the learner needs it."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    sampler_logprobs: tuple[float, ...]
    """Engine, nats, one per completion id."""
    advantage: float
    token_weight: float
    """What each of its tokens weighs in the step's loss. Fixed over the whole step before any microbatch is cut."""
    routes: Routes | None = None
    """The experts that the engine chose, for prompt and completion."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything one step learns from."""

    samples: tuple[Sample, ...]
    """Completions that can carry a gradient, in rollout order."""
    temperature: float
    """The sampling temperature, at which log-probabilities are taken."""
    groups: tuple[Group, ...]
    """What was rolled out, with penalties and advantages: the samples are of these."""
    seconds: float = math.nan
    """What making it took. NaN where it was not timed."""

    @property
    def num_zero_variance(self) -> int:
        """Groups without any difference in reward; left out of the forward pass unless another term needs them."""
        return sum(not group.has_signal for group in self.groups)
