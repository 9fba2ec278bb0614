"""The values that flow through the loop: prompt -> rollout group -> scored -> advantages -> batch.

Each stage returns a new value with one more field filled; nothing is edited in place.
"""

from dataclasses import dataclass

from doubleback.rewards.types import Completion, Problem, Score
from doubleback.rl.routing import Routes


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
    num_groups: int
    """Groups that were rolled out."""
    num_zero_variance: int
    """Groups without any difference in reward; left out of the forward pass unless another term needs them."""
