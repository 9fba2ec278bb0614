"""The learner: frozen base + LoRA adapter + AdamW. One `update` is one step. Shapes: B completions, T tokens."""

import time
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor

from doubleback.rl.config import OptimConfig
from doubleback.rl.learner.batching import Microbatch, assign, make_batch, microbatches, sample_of
from doubleback.rl.learner.finite import diverged, require_finite, require_finite_groups, spoiled
from doubleback.rl.learner.forward import Forward
from doubleback.rl.learner.layouts import layout_of
from doubleback.rl.learner.loss import TokenValues, loss_terms
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
    ) -> None:
        """`num_steps` is how many will be trained, over which `optim.schedule` may let the rate fall."""
        if num_steps is None and optim.schedule != "constant":
            raise ValueError(
                f"a learner with optim.schedule={optim.schedule} needs num_steps, over which its rate falls"
            )
        self.step = 0
        self._num_steps = num_steps or 1
        self.model = model
        self._algorithm, self._optim, self._sampling = algorithm, optim, sampling
        self._entropy_coef = EntropyCoefficient(
            algorithm.entropy_coef, algorithm.entropy_target, algorithm.entropy_delta, algorithm.entropy_max
        )
        self._forward = Forward(model, optim.logits_mib, optim.gradient_checkpointing)
        self._layout = layout_of(optim)
        self._layout.require(model.get_base_model())
        self._parameters: list[torch.nn.Parameter] = [
            parameter for parameter in model.parameters() if parameter.requires_grad
        ]
        self.optimiser = torch.optim.AdamW(
            self._parameters, lr=optim.lr, betas=(optim.beta1, optim.beta2), weight_decay=optim.weight_decay
        )

    @property
    def device(self) -> torch.device:
        """Where the adapter is, and with it every batch."""
        return self._parameters[0].device

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
        old_logprobs: list[Tensor] | None = None
        rate = self._optim.lr * self.share_of_peak(self.step)
        for _ in range(self._algorithm.updates_per_batch if batch.samples else 0):
            old_logprobs = self._accumulate(batch, old_logprobs, tally)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, self._optim.max_grad_norm))
            require_finite(self.step, {"the loss": tally.loss, "the gradient's norm": norm})
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            tally.add_update(norm)
        self.require_finite_state("it is not pushed to the engine")
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

    def _accumulate(self, batch: Batch, old_logprobs: list[Tensor] | None, tally: Tally) -> list[Tensor]:
        """Gradients of the whole batch, microbatch by microbatch. Returns each microbatch's log-probabilities.

        In the first pass the policy is still the one before the step: its own values, detached, are `old_logprobs`.
        """
        old_logprobs_of_all = []
        has_bonus = self._algorithm.has_entropy_bonus
        for index, micro in enumerate(self._microbatches(batch.samples)):
            ref_BT = self._reference(micro, batch.temperature) if self._algorithm.has_kl_loss else None
            with self._forward.within(micro, self._algorithm.routing_replay):
                logprobs_BT, entropy_BT = self._forward.logprobs(micro, batch.temperature, has_bonus)
                tally.add_routes(micro, self._forward)
                old_BT = logprobs_BT.detach() if old_logprobs is None else old_logprobs[index]
                values = TokenValues(logprobs_BT, entropy_BT, old_BT, ref_BT)
                terms = loss_terms(micro, values, self._algorithm, self._entropy_coef.applied)
                torch.autograd.backward(terms.loss)
            tally.add(micro, values, terms)
            old_logprobs_of_all.append(old_BT)
        return old_logprobs_of_all

    def _microbatches(self, samples: Sequence[Sample]) -> Iterator[Microbatch]:
        return microbatches(samples, self._optim.most_tokens, self.device, self._layout)

    @torch.no_grad()
    def _reference(self, micro: Microbatch, temperature: float) -> Tensor:
        with self.model.disable_adapter(), self._forward.within(micro, is_replayed=False):
            return self._forward.logprobs(micro, temperature, has_entropy_gradient=False)[0]

    def score(
        self, sequences: Sequence[TokenSequence], parts: frozenset[str] = ALL_PARTS, temperature: float = 1.0
    ) -> list[tuple[float, ...]]:
        """Log-probability at `temperature` of each completion id, with only those `parts` of the adapter at work."""
        samples = [Sample(prompt, completion, (0.0,) * len(completion), 0.0, 0.0) for prompt, completion in sequences]
        return self._score(samples, temperature, parts, Tally())

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
        scores = self._score(samples, temperature, parts, tally)
        reported = [sample.sampler_logprobs for sample in samples]
        return Comparison(gap_between(scores, reported), tally.experts_differ)

    @torch.no_grad()
    def _score(
        self, samples: Sequence[Sample], temperature: float, parts: frozenset[str], tally: Tally
    ) -> list[tuple[float, ...]]:
        scores: dict[int, tuple[float, ...]] = {}
        with lora.only_parts(self.model, parts):
            for micro in self._microbatches(samples):
                with self._forward.within(micro, is_replayed=False):
                    logprobs_BT, _ = self._forward.logprobs(micro, temperature, has_entropy_gradient=False)
                tally.add_routes(micro, self._forward)
                for row, logprobs_T, mask_T in zip(micro.rows, logprobs_BT, micro.loss_mask_BT, strict=True):
                    scores[row] = tuple(logprobs_T[mask_T].tolist())
        return [scores[row] for row in range(len(samples))]

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
