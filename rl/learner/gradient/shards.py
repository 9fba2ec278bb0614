"""A step's gradient as a sum over shards, so that it matters to no bit who computes which, or how many do.

A floating-point sum depends on its order. A step is therefore cut into a number of shards that the recipe fixes, each
shard's gradient is a function of the adapter and the shard alone, and they are summed in the shards' order: by one
process, one shard after the other, or by as many workers as there are. Shapes: B completions, T tokens.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from doubleback.rl.learner.gradient.passes import Passes
from doubleback.rl.learner.tally import Tally
from doubleback.rl.types import Sample


@dataclass(frozen=True, slots=True)
class Shard:
    """What one gradient is computed of, besides model and adapter."""

    samples: tuple[Sample, ...]
    """In rollout order. Their weights are those of the whole step, so that the gradients of the shards add up."""
    temperature: float
    """At which log-probabilities are taken."""
    entropy_coef: float
    """What multiplies the entropy in this step."""
    old_logprobs: tuple[Tensor, ...] | None = None
    """The policy's before the step, (B, T) of each microbatch. None in the first pass, where it is still that one."""


@dataclass(frozen=True, slots=True)
class Gradient:
    """What came of one shard."""

    tensors: tuple[Tensor | None, ...]
    """Of each trained parameter, in the model's order. None where the shard does not reach it."""
    old_logprobs: tuple[Tensor, ...]
    """The policy's before the step, (B, T) of each microbatch: what a further pass over the shard is given."""
    tally: Tally
    """Sums for the step's metrics, without any update."""


class Gradients(Protocol):
    """Who computes the gradients of shards: this process, or others."""

    @property
    def num_shards(self) -> int:
        """Into how many shards a step is cut."""

    def compute(self, passes: Passes, shards: Sequence[Shard]) -> Iterable[Gradient]:
        """The gradient of each shard, in the shards' order, of the adapter that `passes.model` has now.

        RunError where one cannot be had.
        """


@dataclass(frozen=True, slots=True)
class Here:
    """This process computes them, one after the other."""

    num_shards: int = 1
    """Into how many shards a step is cut."""

    def compute(self, passes: Passes, shards: Sequence[Shard]) -> Iterator[Gradient]:
        """See `Gradients`."""
        return (gradient_of(passes, shard) for shard in shards)


def gradient_of(passes: Passes, shard: Shard) -> Gradient:
    """The shard's gradient under the adapter that `passes.model` has now; nothing of the model is changed."""
    tally = Tally()
    tensors, old_logprobs = passes.backward(
        shard.samples, shard.temperature, shard.entropy_coef, shard.old_logprobs, tally
    )
    return Gradient(tensors, old_logprobs, tally)


def cut(samples: Sequence[Sample], num_shards: int) -> list[list[int]]:
    """The indices of the samples in at most `num_shards` shards of about as many tokens each; none has no sample.

    Samples of one prompt stay together, so that it is still computed once, and those of a shard in rollout order. The
    largest group first goes to the lightest shard so far, and of equals to the first: a function of the samples alone.
    For example groups of 9, 4, 6 and 3 tokens in two shards: 9 and 3, 6 and 4.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, sample in enumerate(samples):
        groups.setdefault(sample.prompt_ids, []).append(index)
    sizes = {
        prompt_ids: len(prompt_ids) + sum(len(samples[index].completion_ids) for index in indices)
        for prompt_ids, indices in groups.items()
    }
    loads, shards = [0] * num_shards, [list[int]() for _ in range(num_shards)]
    for prompt_ids in sorted(groups, key=lambda prompt_ids: -sizes[prompt_ids]):
        lightest = loads.index(min(loads))
        loads[lightest] += sizes[prompt_ids]
        shards[lightest] += groups[prompt_ids]
    return [sorted(indices) for indices in shards if indices]


def added(total: Sequence[Tensor | None], tensors: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
    """The sum of two gradients, tensor by tensor; one that is absent adds nothing. Neither is changed."""
    return tuple(
        tensor if so_far is None else so_far if tensor is None else so_far + tensor.to(so_far.device)
        for so_far, tensor in zip(total, tensors, strict=True)
    )
