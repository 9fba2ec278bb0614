"""The passes of one model over samples: log-probabilities forward, gradients of the adapter backward.

Shapes: B completions, T tokens of prompt + completion.
"""

from collections.abc import Iterator, Sequence

import torch
from peft import PeftModel
from torch import Tensor

from doubleback.rl.config import OptimConfig
from doubleback.rl.learner.batching import Microbatch, microbatches
from doubleback.rl.learner.forward import Forward
from doubleback.rl.learner.layouts import layout_of
from doubleback.rl.learner.loss import TokenValues, loss_terms
from doubleback.rl.learner.tally import Tally
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.policy import lora
from doubleback.rl.types import Sample


class Passes:
    """A model with an adapter, and how its passes are cut; it keeps nothing from one pass to the next."""

    def __init__(self, model: PeftModel, algorithm: AlgorithmConfig, optim: OptimConfig) -> None:
        """ConfigError for a model that cannot be computed as `optim` asks."""
        self.model = model
        self.parameters: list[torch.nn.Parameter] = [
            parameter for parameter in model.parameters() if parameter.requires_grad
        ]
        self._algorithm, self._most_tokens = algorithm, optim.most_tokens
        self._forward = Forward(model, optim.logits_mib, optim.gradient_checkpointing)
        self._layout = layout_of(optim)
        self._layout.require(model.get_base_model())

    @property
    def device(self) -> torch.device:
        """Where the adapter is, and with it every batch."""
        return self.parameters[0].device

    def backward(
        self,
        samples: Sequence[Sample],
        temperature: float,
        entropy_coef: float,
        old_logprobs: Sequence[Tensor] | None,
        tally: Tally,
    ) -> tuple[tuple[Tensor | None, ...], tuple[Tensor, ...]]:
        """The gradient of the samples' loss by each trained parameter, and each microbatch's old log-probabilities.

        Where no `old_logprobs` are given, the policy is still the one before the step: its own values, detached, are
        those. What the microbatches measure is counted in the `tally`.
        """
        self._clear()
        old_logprobs_of_all = []
        has_bonus = self._algorithm.has_entropy_bonus
        for index, micro in enumerate(self._microbatches(samples)):
            ref_BT = self._reference(micro, temperature) if self._algorithm.has_kl_loss else None
            with self._forward.within(micro, self._algorithm.routing_replay):
                logprobs_BT, entropy_BT = self._forward.logprobs(micro, temperature, has_bonus)
                tally.add_routes(micro, self._forward)
                old_BT = logprobs_BT.detach() if old_logprobs is None else old_logprobs[index].to(self.device)
                values = TokenValues(logprobs_BT, entropy_BT, old_BT, ref_BT)
                terms = loss_terms(micro, values, self._algorithm, entropy_coef)
                torch.autograd.backward(terms.loss)
            tally.add(micro, values, terms)
            old_logprobs_of_all.append(old_BT)
        gradient = tuple(parameter.grad for parameter in self.parameters)
        self._clear()
        return gradient, tuple(old_logprobs_of_all)

    def of_samples(self, samples: Sequence[Sample], values: Sequence[Tensor]) -> list[tuple[float, ...]]:
        """Values of the microbatches of these samples, (B, T) each, as one a completion id of each sample."""
        found: dict[int, tuple[float, ...]] = {}
        for indices, values_BT in zip(self._layout.cut(samples, self._most_tokens), values, strict=True):
            for index, values_T in zip(indices, values_BT.tolist(), strict=True):
                # The prompt's last token predicts the first of the completion.
                found[index] = tuple(values_T[len(samples[index].prompt_ids) - 1 : samples[index].num_inputs])
        return [found[index] for index in range(len(samples))]

    def _clear(self) -> None:
        """A gradient begins at nothing, whatever an interrupted pass has left."""
        for parameter in self.parameters:
            parameter.grad = None

    def _microbatches(self, samples: Sequence[Sample]) -> Iterator[Microbatch]:
        return microbatches(samples, self._most_tokens, self.device, self._layout)

    @torch.no_grad()
    def _reference(self, micro: Microbatch, temperature: float) -> Tensor:
        with self.model.disable_adapter(), self._forward.within(micro, is_replayed=False):
            return self._forward.logprobs(micro, temperature, has_entropy_gradient=False)[0]

    @torch.no_grad()
    def score(
        self, samples: Sequence[Sample], temperature: float, parts: frozenset[str], tally: Tally
    ) -> list[tuple[float, ...]]:
        """Log-probability of each sample's completion ids, with only those `parts` of the adapter at work.

        The experts that were chosen are compared with the samples' routes in the `tally`.
        """
        scores: dict[int, tuple[float, ...]] = {}
        with lora.only_parts(self.model, parts):
            for micro in self._microbatches(samples):
                with self._forward.within(micro, is_replayed=False):
                    logprobs_BT, _ = self._forward.logprobs(micro, temperature, has_entropy_gradient=False)
                tally.add_routes(micro, self._forward)
                for row, logprobs_T, mask_T in zip(micro.rows, logprobs_BT, micro.loss_mask_BT, strict=True):
                    scores[row] = tuple(logprobs_T[mask_T].tolist())
        return [scores[row] for row in range(len(samples))]
