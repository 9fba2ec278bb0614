"""A gradient worker: a pure function of an adapter and a shard, in whatever process.

Adapter and gradient travel as one vector, in the order of the adapter's names and of the model's parameters. The worker
computes the hash of what it was given itself, and its answer names it: an answer of another adapter is told apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import get_peft_model_state_dict
from torch import Tensor

from doubleback.rewards.types import RunError
from doubleback.rl.config import LoraSettings, OptimConfig
from doubleback.rl.learner.gradient.passes import Passes
from doubleback.rl.learner.gradient.shards import Gradient, Shard, gradient_of
from doubleback.rl.learner.tally import Tally
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import base_tensors, load_base
from doubleback.rl.types import ModelSource

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Answer:
    """A gradient on its way back, as plain arrays.

    For example of a model with three trained parameters of two numbers each, the second of which the shard does not
    reach: `vector` (0.1, -0.2, 0.3, 0.0), `is_reached` (True, False, True).
    """

    adapter_hash: str
    """Of the adapter that it is the gradient at, computed where it was used."""
    vector: Vector
    """The tensors that the shard reaches, one after the other, in the order of the model's parameters."""
    is_reached: tuple[bool, ...]
    """One a parameter."""
    old_logprobs: tuple[Vector, ...]
    """Of each microbatch, (B, T)."""
    tally: Tally


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a worker is made of."""

    model: ModelSource
    lora: LoraSettings
    algorithm: AlgorithmConfig
    optim: OptimConfig


class GradientWorker:
    """A frozen base, and room for an adapter on it."""

    def __init__(self, setup: WorkerSetup) -> None:
        """Loads the base. ConfigError where it cannot be had here."""
        base = load_base(setup.model)
        self._base_hash = lora.hash_tensors(base_tensors(base))
        # The fresh adapter has the shapes; whatever is in it is replaced before it is used.
        self._passes = Passes(lora.attach(base, setup.lora, seed=0), setup.algorithm, setup.optim)
        self._adapter_hash = ""

    def base_hash(self) -> str:
        """Of the base's tensors, as they were loaded here."""
        return self._base_hash

    def gradient(self, adapter_hash: str, adapter: Vector, shard: Shard) -> Answer:
        """The shard's gradient at this adapter. RunError where the adapter that came is not the one of that hash."""
        if adapter_hash != self._adapter_hash:
            self._load(adapter_hash, adapter)
        gradient = gradient_of(self._passes, arrived(shard))
        reached = [tensor for tensor in gradient.tensors if tensor is not None]
        return Answer(
            self._adapter_hash,
            as_vector(reached),
            tuple(tensor is not None for tensor in gradient.tensors),
            tuple(tensor.cpu().numpy() for tensor in gradient.old_logprobs),
            gradient.tally,
        )

    def _load(self, adapter_hash: str, adapter: Vector) -> None:
        tensors = _of_vector(adapter, get_peft_model_state_dict(self._passes.model))
        found = lora.hash_tensors(tensors)
        if found != adapter_hash:
            raise RunError(f"the adapter that came has the hash {found[:12]}, and {adapter_hash[:12]} was named")
        self._adapter_hash = ""  # of none, while it is neither the one nor the other
        lora.load(self._passes.model, tensors)
        self._adapter_hash = lora.export(self._passes.model).hash  # of what will be used, whatever came

    def close(self) -> None:
        """What it holds is the process's alone."""


def as_vector(tensors: Sequence[Tensor]) -> Vector:
    """The tensors, flattened, one after the other."""
    if not tensors:
        return np.zeros(0, np.float32)
    return torch.cat([tensor.detach().flatten() for tensor in tensors]).cpu().numpy()


def _of_vector(vector: Vector, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with names and shapes of `like`, in the order of their names."""
    names = sorted(like)
    if len(vector) != (size := sum(like[name].numel() for name in names)):
        raise RunError(f"the adapter that came has {len(vector):,} numbers, and this model's has {size:,}")
    parts = _parts(vector, [like[name] for name in names])
    return dict(zip(names, parts, strict=True))


def _parts(vector: Vector, like: Sequence[Tensor]) -> list[Tensor]:
    """A copy of the vector, cut into tensors of these shapes. What comes from an object store is read-only."""
    flat = torch.from_numpy(np.array(vector))
    cut = torch.split(flat, [tensor.numel() for tensor in like])
    return [part.view(tensor.shape) for part, tensor in zip(cut, like, strict=True)]


def on_its_way(shard: Shard) -> Shard:
    """The shard with plain arrays for tensors: a tensor would hold a file open on both sides of a pipe."""
    old: Any = shard.old_logprobs and tuple(tensor.cpu().numpy() for tensor in shard.old_logprobs)
    return replace(shard, old_logprobs=old)


def arrived(shard: Shard) -> Shard:
    """The shard as it was before `on_its_way`."""
    old = shard.old_logprobs and tuple(torch.from_numpy(np.array(values)) for values in shard.old_logprobs)
    return replace(shard, old_logprobs=old)


def gradient_in(answer: Answer, parameters: Sequence[Tensor]) -> Gradient:
    """The gradient by these parameters. ValueError where it has another number of numbers than they."""
    if len(answer.is_reached) != len(parameters):
        raise ValueError(f"it is by {len(answer.is_reached)} parameters, and {len(parameters)} are trained")
    reached = [parameter for parameter, is_there in zip(parameters, answer.is_reached, strict=True) if is_there]
    if answer.vector.shape != (size := sum(parameter.numel() for parameter in reached),):
        raise ValueError(f"it has the shape {answer.vector.shape}, and the parameters have {size:,} numbers")
    parts = iter(_parts(answer.vector, reached))
    tensors = tuple(next(parts) if is_there else None for is_there in answer.is_reached)
    return Gradient(tensors, tuple(torch.from_numpy(np.array(it)) for it in answer.old_logprobs), answer.tally)
