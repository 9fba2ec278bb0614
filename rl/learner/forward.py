"""From a microbatch to the log-probabilities of its completions: the forward pass, as little of it as is needed.

Hidden states are computed for the tokens of the row or of the rectangle, logits only where a completion is predicted,
and those in chunks. Shapes: B completions, T tokens, N tokens in the row, M tokens with a loss, D hidden, V vocabulary.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from peft import PeftModel
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from doubleback.rewards.types import ConfigError
from doubleback.rl.learner.batching import Microbatch
from doubleback.rl.policy.logprobs import token_logprobs
from doubleback.rl.policy.routing import Routers

UNKNOWN_HEADS = ("final_logit_softcapping", "logit_scale")
"""Configuration keys of models that do more to their logits than `_logits` does."""


class Forward:
    """The model's forward pass on microbatches; `within` must last until the backward pass is done."""

    def __init__(self, model: PeftModel, logits_mib: int, is_checkpointed: bool) -> None:
        self._model, self._base = model, model.get_base_model()
        self.routers = Routers(model)
        self._max_logits = (logits_mib << 20) // 4
        if odd := [key for key in UNKNOWN_HEADS if getattr(self._base.config, key, None)]:
            kind = self._base.config.model_type
            raise ConfigError(f"{kind} has {odd[0]}, which is not computed here; see rl/learner/forward.py")
        self._divisor = float(getattr(self._base.config, "logits_scaling", None) or 1.0)  # Granite's
        if is_checkpointed:
            _checkpoint_layers(self._base)

    @contextmanager
    def within(self, micro: Microbatch, is_replayed: bool) -> Iterator[None]:
        """Within the block the model's attention and routers work on `micro`."""
        with ExitStack() as stack:
            stack.enter_context(micro.placement.attending(self._base))
            if is_replayed and micro.routes_BTLK is not None:
                stack.enter_context(self.routers.replaying(micro.placement.in_pass(micro.routes_BTLK)))
            yield

    def logprobs(self, micro: Microbatch, temperature: float, has_entropy_gradient: bool) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies, both (B, T) float32 with gradient; 0 outside the loss mask."""
        hidden_MD = self._hidden(micro)
        ids_M = micro.target_ids_BT[micro.loss_mask_BT]
        # For example a budget of 256 MiB holds 2^26 float32 logits: 441 tokens of a vocabulary of 152,064.
        size = max(1, self._max_logits // int(self._base.config.vocab_size))
        # More than one chunk: each is checkpointed, so that its logits are computed again in the backward pass and the
        # logits of one chunk alone are in memory at any time.
        compute = self._chunk if len(ids_M) <= size else partial(checkpoint, self._chunk, use_reentrant=False)
        chunks = [
            compute(hidden_MD[start : start + size], ids_M[start : start + size], temperature, has_entropy_gradient)
            for start in range(0, len(ids_M), size)
        ]
        mask_BT = micro.loss_mask_BT
        logprobs_M, entropy_M = (torch.cat(values) for values in zip(*chunks, strict=True))
        # The M values go where the mask is true, row by row, which is the order in which they were taken.
        empty_BT = torch.zeros(mask_BT.shape, dtype=logprobs_M.dtype, device=hidden_MD.device)
        return empty_BT.masked_scatter(mask_BT, logprobs_M), empty_BT.masked_scatter(mask_BT, entropy_M)

    def _hidden(self, micro: Microbatch) -> Tensor:
        """Last hidden states of the tokens before each token with a loss, (M, D)."""
        decoder = self._base.get_decoder()
        hidden: Tensor = decoder(**micro.placement.inputs(micro.input_ids_BT), use_cache=False)[0]
        return micro.placement.before_targets(hidden, micro.loss_mask_BT)

    def _chunk(
        self, hidden_MD: Tensor, ids_M: Tensor, temperature: float, has_entropy_gradient: bool
    ) -> tuple[Tensor, Tensor]:
        logits_MV = self._base.get_output_embeddings()(hidden_MD) / self._divisor
        return token_logprobs(logits_MV, ids_M, temperature, has_entropy_gradient=has_entropy_gradient)

    def chosen(self, micro: Microbatch) -> Tensor:
        """The experts that the last forward pass chose by itself, (tokens, L, K): each token that was computed once."""
        return micro.placement.without_padding(self.routers.chosen())


def reported(micro: Microbatch) -> Tensor:
    """What the engine reported for the same tokens as `Forward.chosen`."""
    if micro.routes_BTLK is None:
        raise ValueError("the engine reported no experts")
    return micro.placement.without_padding(micro.placement.in_pass(micro.routes_BTLK).flatten(0, 1))


def _checkpoint_layers(base: PreTrainedModel) -> None:
    """Switch checkpointing on. transformers does it in training mode alone: the layers get that mark, and no other
    module does, so that nothing else (dropout, a router's noise) changes with it.
    """
    base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    for module in base.modules():
        if isinstance(module, GradientCheckpointingLayer):
            module.training = True
