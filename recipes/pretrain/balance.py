"""How pre-training keeps experts in balance: by a loss, or by a bias for the choice. Shapes: B traces, T tokens."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.qwen3_moe.modeling_qwen3_moe import load_balancing_loss_func

from doubleback.recipes.pretrain.config import PretrainConfig
from doubleback.rl.objective.balance import expert_loads, moved_bias
from doubleback.rl.policy.routing import Routers

BIAS = "e_score_correction_bias"
"""What a checkpoint, transformers and vLLM call the bias that is added to the scores for the choice alone."""


class Balancing(Protocol):
    """One way to spread tokens over the experts."""

    def loss(self, ids_BT: Tensor, mask_BT: Tensor, labels_BT: Tensor) -> Tensor:
        """Nats a token, with what the method adds."""

    def after_step(self, mask_BT: Tensor) -> None:
        """Called when the weights have moved by that loss."""


def balancing(model: PreTrainedModel, config: PretrainConfig) -> Balancing:
    """The method that the settings name, for this model."""
    if config.balance == "bias":
        return BiasForChoice(model, config.balance_rate)
    if config.model.architecture == "qwen3_moe":
        return OwnLoss(model, has_experts=config.model.dense_size is None)
    return AuxiliaryLoss(model, config.balance_coefficient)


class OwnLoss:
    """The auxiliary loss that the model computes by itself, with the coefficient of its configuration."""

    def __init__(self, model: PreTrainedModel, has_experts: bool) -> None:
        """Without experts there is nothing to spread, and the loss is the model's alone."""
        self._model, self._asked = model, {"output_router_logits": True} if has_experts else {}

    def loss(self, ids_BT: Tensor, mask_BT: Tensor, labels_BT: Tensor) -> Tensor:
        """See `Balancing`."""
        return _plain_loss(self._model, ids_BT, mask_BT, labels_BT, **self._asked)

    def after_step(self, mask_BT: Tensor) -> None:
        """Nothing."""


class AuxiliaryLoss:
    """The same loss (arXiv:2101.03961, eq. 4 to 6) for a model that does not compute it.

    Over the softmax of the router's logits, as in the model above, also where the router itself takes their sigmoid:
    the experts chosen are the same, since both rise with the logits.
    """

    def __init__(self, model: PreTrainedModel, coefficient: float) -> None:
        self._model, self._coefficient = model, coefficient
        self._logits: list[Tensor] = []
        for router in _routers(model):
            router.register_forward_hook(self._note)

    def loss(self, ids_BT: Tensor, mask_BT: Tensor, labels_BT: Tensor) -> Tensor:
        """See `Balancing`."""
        self._logits = []
        loss = _plain_loss(self._model, ids_BT, mask_BT, labels_BT)
        settings = self._model.config
        sizes = settings.num_local_experts, settings.num_experts_per_tok
        spread: Tensor = load_balancing_loss_func(tuple(self._logits), *sizes, mask_BT)
        return loss + self._coefficient * spread

    def after_step(self, mask_BT: Tensor) -> None:
        """Nothing."""

    def _note(self, router: nn.Module, given: Any, returned: tuple[Tensor, ...]) -> None:
        self._logits.append(returned[0])


class BiasForChoice:
    """DeepSeek-V3's way without a loss (arXiv:2412.19437, section 2.1.2): the model's own loss alone has a gradient."""

    def __init__(self, model: PreTrainedModel, rate: float) -> None:
        self._model, self._rate = model, rate
        self._taps, self._biases = Routers(model), [getattr(router, BIAS) for router in _routers(model)]

    def loss(self, ids_BT: Tensor, mask_BT: Tensor, labels_BT: Tensor) -> Tensor:
        """See `Balancing`."""
        return _plain_loss(self._model, ids_BT, mask_BT, labels_BT)

    @torch.no_grad()
    def after_step(self, mask_BT: Tensor) -> None:
        """Move each layer's bias by what the step's tokens chose, padding apart."""
        chosen_NLK = self._taps.chosen()[mask_BT.flatten() > 0].numpy()
        loads_LE = expert_loads(chosen_NLK, self._taps.num_experts)
        for bias_E, load_E in zip(self._biases, loads_LE, strict=True):
            bias_E.copy_(torch.from_numpy(moved_bias(bias_E.numpy(), load_E, self._rate)))


def _plain_loss(model: PreTrainedModel, ids_BT: Tensor, mask_BT: Tensor, labels_BT: Tensor, **asked: bool) -> Tensor:
    loss: Tensor = model(input_ids=ids_BT, attention_mask=mask_BT, labels=labels_BT, use_cache=False, **asked).loss
    return loss


def _routers(model: PreTrainedModel) -> list[nn.Module]:
    return [module for module in model.modules() if hasattr(module, BIAS)]


def rounded(model: PreTrainedModel) -> PreTrainedModel:
    """The model in bfloat16, in place, but for the biases: near 0 a step of theirs would be lost in the rounding."""
    biases = [(router, getattr(router, BIAS).clone()) for router in _routers(model)]
    model.to(torch.bfloat16)
    for router, bias_E in biases:
        setattr(router, BIAS, bias_E)
    return model
