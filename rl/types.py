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

    The last sampled token was never put through the model: N = prompt tokens + completion tokens - 1. For example a
    prompt of 3 tokens and a completion of 2, through 2 layers with 2 of 8 experts each: shape (4, 2, 2), 16 bytes.
    """

    content: bytes
    """uint8 where no id is above 255, else int16; C order."""
    shape: tuple[int, int, int]
    num_experts: int
    """Of a layer, those that no token chose included."""

    @classmethod
    def pack(cls, experts_NLK: NDArray[Any], num_experts: int) -> "Routes":
        """As few bytes as hold the expert ids."""
        dtype = np.uint8 if experts_NLK.size == 0 or experts_NLK.max() < 256 else np.int16
        return cls(experts_NLK.astype(dtype).tobytes(), tuple(experts_NLK.shape), num_experts)

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
    head_dtype: str = "float32"
    """Precision in which its LM head computes the logits: "float32", or that of a base in bfloat16."""


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
    banned_ids: tuple[int, ...] = ()
    """Tokens that are never drawn: their logits are minus infinity, and the others share the probability."""


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One completion of a group with all that is known of it."""

    completion: Completion
    given_score: Score | None
    """None before scoring."""
    penalty: float
    """What is taken off its reward; 0 where nothing is."""
    advantage: float | None
    """None before assignment, and where it could not be judged."""
    routes: Routes | None
    """None where the engine does not report them."""
    teacher_logprobs: tuple[float, ...] | None = None
    """What a teacher says of each of its tokens, nats. None where none was asked."""
    old_logprobs: tuple[float, ...] | None = None
    """Trainer, before the step's updates, nats, one a token. None where the step learned nothing from it."""

    @property
    def score(self) -> Score:
        """Its score. ValueError before scoring."""
        if self.given_score is None:
            raise ValueError("the group has not been scored")
        return self.given_score

    @property
    def reward(self) -> float | None:
        """What its advantage is made of: the score less the penalty. None where it could not be judged."""
        return None if self.score.value is None else self.score.value - self.penalty


@dataclass(frozen=True, slots=True)
class Group:
    """All completions of one problem in one step.

    For example two completions, the second of which ran into the reward's time limit:

        prompt_ids   (1, 40, 41)
        completions  Completion("6 * 4", token_ids=(9, 14, 7, 2), ...), Completion("(4", token_ids=(30, 7), ...)
        scores       Score(1.0, CORRECT), Score(None, TIMEOUT)
        penalties    (0.25, 0.5)      with a KL in the reward, else empty
        advantages   (0.0, None)      a single reward, 1.0 - 0.25, does not differ from its mean

    `rows()` gives the same, one completion after the other.
    """

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
    teacher_logprobs: tuple[tuple[float, ...], ...] = ()
    """One per completion: what a teacher says of each of its tokens, nats. Empty where none was asked."""
    old_logprobs: tuple[tuple[float, ...] | None, ...] = ()
    """One per completion, after the step: the trainer's before its updates, nats. None where nothing was learned."""

    def rows(self) -> list[GroupRow]:
        """The completions, each with its score, penalty, advantage and routes, so far as they are there.

        ValueError where there is one of these for some completions and not for others.
        """
        count = len(self.completions)
        columns = (self.scores, self.penalties, self.advantages, self.routes, self.teacher_logprobs, self.old_logprobs)
        absent = (None, 0.0, None, None, None, None)
        filled = [column or (nothing,) * count for column, nothing in zip(columns, absent, strict=True)]
        return [GroupRow(*values) for values in zip(self.completions, *filled, strict=True)]

    @property
    def has_signal(self) -> bool:
        """Whether any advantage differs from 0: otherwise the group's policy gradient is exactly 0."""
        return any(advantage for advantage in self.advantages)


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion as the learner needs it.

    For example the first of a step's four completions of at most 12 tokens, with algorithm.normaliser=constant:

        prompt_ids        (1, 40, 41)
        completion_ids    (9, 14, 7, 2)
        sampler_logprobs  (-0.1, -1.2, -0.3, 0.0)
        advantage         0.5
        token_weight      1 / (4 * 12)
    """

    prompt_ids: tuple[int, ...]
    """What the engine was given."""
    completion_ids: tuple[int, ...]
    """What it sampled, end of sequence included."""
    sampler_logprobs: tuple[float, ...]
    """Engine, nats, one per completion id."""
    advantage: float
    """Of every token of the completion."""
    token_weight: float
    """What each of its tokens weighs in the step's loss. Fixed over the whole step before any microbatch is cut."""
    routes: Routes | None = None
    """The experts that the engine chose, for prompt and completion."""
    teacher_logprobs: tuple[float, ...] | None = None
    """Teacher, nats, one per completion id. None where none was asked."""

    @property
    def num_inputs(self) -> int:
        """Tokens that are put through the model: all but the last, which is only predicted."""
        return len(self.prompt_ids) + len(self.completion_ids) - 1


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything one step learns from.

    For example two groups of two completions, the first with the rewards 1 and 0, the second with 1 and 1, which
    teaches nothing: `samples` holds the two completions of the first alone, `places` is (0, 1), `groups` has both,
    `num_zero_variance` is 1, and the token weights are those of a step of four.
    """

    samples: tuple[Sample, ...]
    """Completions that can carry a gradient, in rollout order."""
    temperature: float
    """The sampling temperature, at which log-probabilities are taken."""
    groups: tuple[Group, ...]
    """What was rolled out, with penalties and advantages: the samples are of these."""
    places: tuple[int, ...]
    """Of each sample, which of all completions of the groups it is, the first being 0."""
    seconds: float = math.nan
    """What making it took. NaN where it was not timed."""

    @property
    def num_zero_variance(self) -> int:
        """Groups without any difference in reward; left out of the forward pass unless another term needs them."""
        return sum(not group.has_signal for group in self.groups)
