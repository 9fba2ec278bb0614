"""What a step has to do, as numbers: the model's shape, completions and their lengths, what the learner computes."""

import math
import random
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist, fmean

FEWEST_SHARDS = 8
"""What scale.shards is where workers compute gradients and the recipe does not say: `rl.scale`."""
SPREAD = 0.7
"""Standard deviation of the logarithm of a completion's length, before the longest are cut off."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model's size does to time."""

    num_parameters: float
    """All of the base."""
    num_experts: int
    """Routed experts of a layer; 0 for a dense model."""
    experts_per_token: int
    num_expert_parameters: float
    """Of all, what is in routed experts."""
    num_layers: int
    attention_width: int
    """Heads times the width of one."""
    kv_bytes: float
    """What a token takes in the key-value cache, over all layers."""
    width: int
    """Bytes of a parameter."""

    @property
    def num_active(self) -> float:
        """Parameters that a token meets."""
        return self.num_parameters - self.num_expert_parameters * (1 - self._met(1))

    def read_bytes(self, num_sequences: float) -> float:
        """Bytes of weights that a pass of so many tokens reads: of experts those that any of them is sent to."""
        rest = self.num_parameters - self.num_expert_parameters
        return self.width * (rest + self.num_expert_parameters * self._met(num_sequences))

    def _met(self, num_tokens: float) -> float:
        """Share of a layer's experts that tokens are sent to, each at random."""
        if not self.num_experts:
            return 1.0
        return 1 - math.pow(1 - self.experts_per_token / self.num_experts, num_tokens)

    def forward_flops(self, length: float) -> float:
        """Operations of a forward pass for one token of a sequence of `length`: parameters, and attention to half of
        the sequence.
        """
        return 2 * self.num_active + 2 * self.num_layers * self.attention_width * length


@dataclass(frozen=True, slots=True)
class Workload:
    """One step."""

    num_problems: int
    group_size: int
    prompt_tokens: float
    """Of one problem."""
    mean_tokens: float
    """Of one completion."""
    max_tokens: int
    max_num_seqs: int
    """Completions that a replica samples at the same time."""
    passes: float
    """Of the learner for each token, in forward passes: 2 forward and back through a frozen base, 3 where every weight
    has a gradient, 1 more with checkpointing, and 1 for each further scoring of what was sampled."""
    adapter_bytes: float
    """What travels to an engine after the update."""
    gradient_bytes: float
    """What a shard sends to where the update is made."""
    num_canaries: int
    num_shards: int | None = None
    """Into which a step's gradient is cut; None: `shards` says."""
    most_shards: int | None = None
    """Of those that nobody fixed; None: one for each GPU that learns, whatever their number."""
    is_prompt_shared: bool = True
    """Whether the learner computes a problem's prompt once for all of its completions."""
    steps_of_adapter: int = 1
    """How many steps are sampled of one adapter where the engine samples ahead: it travels once for them."""

    @property
    def num_completions(self) -> int:
        """Of the step."""
        return self.num_problems * self.group_size

    @property
    def tokens(self) -> float:
        """Sampled in the step."""
        return self.num_completions * self.mean_tokens

    def shards(self, num_learning: int) -> int:
        """Into how many parts a step's gradient is cut where so many GPUs learn. As many as there are, `FEWEST_SHARDS`
        and more, but none without a problem of its own, where the recipe leaves it open.
        """
        if self.num_shards is not None:
            return self.num_shards
        return num_learning if self.most_shards is None else min(max(FEWEST_SHARDS, num_learning), self.most_shards)

    @property
    def learned_tokens(self) -> float:
        """That the learner passes over, prompts included."""
        prompts = self.num_problems if self.is_prompt_shared else self.num_completions
        return self.tokens + prompts * self.prompt_tokens


@lru_cache(maxsize=1)  # a plan asks for those of one workload, for every number of GPUs and every split
def lengths(workload: Workload) -> tuple[float, ...]:
    """A length for each completion of a step, in the order in which they are sampled.

    Quantiles of a log-normal distribution of SPREAD, cut at max_tokens, with the workload's mean after the cut, and
    shuffled by a fixed seed. For example 2048 of mean 3200, cut at 4096: the median is 3754, and 45 % are cut off.
    """
    count, longest = workload.num_completions, float(workload.max_tokens)
    normal = [NormalDist().inv_cdf((index + 0.5) / count) for index in range(count)]

    def cut(middle: float) -> list[float]:
        return [min(longest, math.exp(middle + SPREAD * quantile)) for quantile in normal]

    low, high = 0.0, math.log(longest) + 8 * SPREAD
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if fmean(cut(middle)) < workload.mean_tokens else (low, middle)
    drawn = cut((low + high) / 2)
    random.Random(0).shuffle(drawn)
    return tuple(drawn)
