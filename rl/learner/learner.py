"""The learner: frozen base + LoRA adapter + AdamW. One `update` is one step."""

import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor

from doubleback.rl.config import OptimConfig
from doubleback.rl.learner.batching import assign, make_batch, sample_of
from doubleback.rl.learner.finite import diverged, require_finite, require_finite_groups, spoiled
from doubleback.rl.learner.gradient.passes import Passes
from doubleback.rl.learner.gradient.shards import Gradients, Here, Shard, added, cut
from doubleback.rl.learner.penalty import penalise
from doubleback.rl.learner.rounding import rounded_anew
from doubleback.rl.learner.tally import Tally
from doubleback.rl.objective.agreement import Gap, gap_between
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.entropy import EntropyCoefficient
from doubleback.rl.objective.schedule import share_of_peak
from doubleback.rl.policy import lora
from doubleback.rl.types import Batch, Group, Sample, Sampling, TokenSequence

ALL_PARTS = frozenset(lora.PARTS)
HERE = Here()


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the engine reported for its samples against what the trainer computes for the same tokens."""

    gap: Gap
    """Of the log-probabilities."""
    experts_differ: float
    """Share of tokens, prompts included, that the trainer sends to other experts in any layer. NaN if not reported."""


class Learner:
    """Owns the adapter, its optimiser and the step counter."""

    def __init__(
        self,
        model: PeftModel,
        algorithm: AlgorithmConfig,
        optim: OptimConfig,
        sampling: Sampling,
        num_steps: int | None = None,
        gradients: Gradients = HERE,
    ) -> None:
        """`num_steps` is how many will be trained, over which `optim.schedule` may let the rate fall; `gradients` who
        computes the gradient, in how many shards.
        """
        if num_steps is None and optim.schedule != "constant":
            raise ValueError(
                f"a learner with optim.schedule={optim.schedule} needs num_steps, over which its rate falls"
            )
        self.step = 0
        self.old_logprobs: list[tuple[float, ...]] = []
        """Of each sample of the batch that was learned last, one a completion id: before that step's updates, nats."""
        self._num_steps = num_steps or 1
        self.model = model
        self._algorithm, self._optim, self._sampling = algorithm, optim, sampling
        self._entropy_coef = EntropyCoefficient(
            algorithm.entropy_coef, algorithm.entropy_target, algorithm.entropy_delta, algorithm.entropy_max
        )
        self._passes, self._gradients = Passes(model, algorithm, optim), gradients
        self._parameters = self._passes.parameters
        self.optimiser = torch.optim.AdamW(
            self._parameters, lr=optim.lr, betas=(optim.beta1, optim.beta2), weight_decay=optim.weight_decay
        )

    @property
    def device(self) -> torch.device:
        """Where the adapter is, and with it every batch."""
        return self._passes.device

    def adapter(self) -> lora.Adapter:
        """A copy of the current adapter."""
        return lora.export(self.model)

    def batch(self, groups: Sequence[Group]) -> Batch:
        """What a step learns from: the groups with penalties and advantages, and the weight of every token.

        RunError where a number of theirs is not finite.
        """
        started = time.perf_counter()
        reference = partial(self.score, parts=frozenset(), temperature=self._sampling.temperature)
        groups = assign(penalise(groups, reference, self._algorithm), self._algorithm)
        require_finite_groups(self.step + 1, groups)
        batch = make_batch(groups, self._algorithm, self._sampling)
        return replace(batch, seconds=time.perf_counter() - started)

    def update(self, batch: Batch) -> dict[str, float]:
        """One step on `batch`: `updates_per_batch` optimiser steps. Returns metrics: groups learner/ and gap/.

        A batch without any signal moves nothing, not even the optimiser's state, but still counts as a step. RunError
        where loss or gradient is not finite, before the optimiser moves; and where what it has moved is not.
        """
        self.step += 1
        started = time.perf_counter()
        tally = Tally()
        rate = self._optim.lr * self.share_of_peak(self.step)
        places = cut(batch.samples, self._gradients.num_shards)
        shards = [
            Shard(tuple(batch.samples[place] for place in of), batch.temperature, self._entropy_coef.applied)
            for of in places
        ]
        for _ in range(self._algorithm.updates_per_batch if shards else 0):
            shards = self._differentiate(shards, tally)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, self._optim.max_grad_norm))
            require_finite(self.step, {"the loss": tally.loss, "the gradient's norm": norm})
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            tally.add_update(norm)
        self.require_finite_state("it is not pushed to the engine")
        self.old_logprobs = self._in_order(places, shards)
        metrics = {**tally.means(), "learner/lr": rate, "seconds/update": time.perf_counter() - started}
        if self._algorithm.has_entropy_bonus:
            metrics["learner/entropy_coef"] = self._entropy_coef.applied
            self._entropy_coef.adapt(metrics["learner/entropy"])
        return metrics

    def require_finite_state(self, then: str) -> None:
        """RunError with the first tensor of adapter or optimiser that is not finite, and what `then` is left undone."""
        names = [name for name, parameter in self.model.named_parameters() if parameter.requires_grad]
        moments = self.optimiser.state_dict()["state"]
        tensors = [
            *zip(names, self._parameters, strict=True),
            *(
                (f"{key} of {names[index]}", tensor)
                for index, state in moments.items()
                for key, tensor in state.items()
            ),
        ]
        if (name := spoiled(tensors)) is not None:
            raise diverged(self.step, f"{name} is", then)

    def share_of_peak(self, step: int) -> float:
        """The learning rate of a step, the first being 1, as a share of `optim.lr`."""
        return share_of_peak(step, self._optim.schedule, self._optim.warmup_steps, self._num_steps)

    def _differentiate(self, shards: Sequence[Shard], tally: Tally) -> list[Shard]:
        """Put the gradient of all shards, summed in their order, into the parameters.

        Returns the shards as a further pass takes them: with the log-probabilities before the step.
        """
        gradients = self._gradients.compute(self._passes, shards)
        total: tuple[Tensor | None, ...] = (None,) * len(self._parameters)
        further = list[Shard]()
        for shard, gradient in zip(shards, gradients, strict=True):
            total = added(total, gradient.tensors)
            tally.extend(gradient.tally)
            further.append(replace(shard, old_logprobs=gradient.old_logprobs))
        for parameter, tensor in zip(self._parameters, total, strict=True):
            parameter.grad = None if tensor is None else tensor.to(parameter.device)
        return further

    def _in_order(self, places: Sequence[Sequence[int]], shards: Sequence[Shard]) -> list[tuple[float, ...]]:
        """The log-probabilities before the step of the shards' samples, in the order of the batch's."""
        found = dict[int, tuple[float, ...]]()
        for of, shard in zip(places, shards, strict=True):
            found |= zip(of, self._passes.of_samples(shard.samples, shard.old_logprobs or ()), strict=True)
        return [found[place] for place in range(len(found))]

    def score(
        self, sequences: Sequence[TokenSequence], parts: frozenset[str] = ALL_PARTS, temperature: float = 1.0
    ) -> list[tuple[float, ...]]:
        """Log-probability at `temperature` of each completion id, with only those `parts` of the adapter at work."""
        samples = [Sample(prompt, completion, (0.0,) * len(completion), 0.0, 0.0) for prompt, completion in sequences]
        return self._passes.score(samples, temperature, parts, Tally())

    def score_rounded_anew(
        self, sequences: Sequence[TokenSequence], parts: frozenset[str] = ALL_PARTS
    ) -> list[tuple[float, ...]]:
        """`score`, one sequence at a time and with other roundings: what differs is the model's own rounding."""
        with rounded_anew(self.model):
            return [self.score([sequence], parts)[0] for sequence in sequences]

    def compare(self, groups: Sequence[Group], temperature: float, parts: frozenset[str] = ALL_PARTS) -> Comparison:
        """The engine's log-probabilities and routes of `groups` against the trainer's own."""
        samples = [sample_of(group, row) for group in groups for row in group.rows()]
        tally = Tally()
        scores = self._passes.score(samples, temperature, parts, tally)
        reported = [sample.sampler_logprobs for sample in samples]
        return Comparison(gap_between(scores, reported), tally.experts_differ)

    def state(self) -> dict[str, Any]:
        """What exact resume needs besides the adapter: step, entropy coefficient, a copy of the optimiser's moments."""
        return {
            "step": self.step,
            "optimiser": deepcopy(self.optimiser.state_dict()),
            "entropy_coef": self._entropy_coef.state(),
        }

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Continue from an adapter and a `state()`. ValueError where they belong to another model."""
        lora.load(self.model, tensors)
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])
        self._entropy_coef.restore(state["entropy_coef"])
