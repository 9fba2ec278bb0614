"""Which experts each token chose: captured in one model, compared with and replayed in another.

Rollout routing replay (R3, arXiv:2510.11370): engine and trainer compute a router's scores with other roundings, so a
token that is undecided between two experts may go to one in the engine and to the other in the trainer. Replayed, the
trainer's tokens go where the engine's went, in the forward and in the backward pass; what the chosen experts weigh is
the trainer's own, with its gradient.

Shapes: N tokens, L layers with experts, K experts per token, E experts; B completions, T tokens of a microbatch.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from peft.tuners.lora.layer import LoraLayer
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from doubleback.rewards.types import ConfigError, RunError
from doubleback.rl.policy.families import family_of, num_experts
from doubleback.rl.types import Routes


class Routers:
    """The routers of a transformers model, tapped: records what they choose and makes them choose what they are told.

    Every family ends its choice in one `topk` over the experts' scores; there the choice is replaced and the chosen
    scores are gathered in its place, whatever the family makes of them. One limit: DeepSeek-V2's `group_limited_greedy`
    sets the scores of other groups to 0 before, so that an expert of another group is replayed with weight 0.
    """

    def __init__(self, model: PreTrainedModel | PeftModel) -> None:
        self._name, self.num_experts = family_of(model.config).router, num_experts(model.config)
        routers = [module for path, module in model.named_modules() if _is_router(path, module, self._name)]
        self.num_layers = len(routers)
        if self.num_experts and not routers:
            raise ConfigError(
                f"no router under the name {self._name!r} in this {model.config.model_type} model; "
                "see rl/policy/families.py"
            )
        self._chosen: list[Tensor | None] = [None] * len(routers)
        self._replay_LNK: Tensor | None = None
        for layer, router in enumerate(routers):
            router.forward = partial(self._forward, layer, router.forward)

    def require_layers(self, num_layers: int) -> None:
        """RunError unless the engine reported as many layers of routers as are tapped here."""
        if num_layers != self.num_layers:
            raise RunError(
                f"the engine reported {num_layers} layers of routers, the trainer has {self.num_layers} under the name "
                f"{self._name!r}: is the model's family described as it is (rl/policy/families.py)?"
            )

    def chosen(self) -> Tensor:
        """What the last forward pass chose by itself, (N, L, K); N runs over (B, T)."""
        return torch.stack([ids for ids in self._chosen if ids is not None], dim=1)

    @contextmanager
    def replaying(self, routes_BTLK: Tensor | None) -> Iterator[None]:
        """Within the block tokens go to these experts; -1 leaves a token to its own choice, None all of them."""
        if routes_BTLK is not None:
            self.require_layers(routes_BTLK.shape[2])
        self._replay_LNK = None if routes_BTLK is None else routes_BTLK.flatten(0, 1).transpose(0, 1).long()
        try:
            yield
        finally:
            self._replay_LNK = None

    def _forward(self, layer: int, forward: Any, *args: Any, **kwargs: Any) -> Any:
        with _TopK(self, layer):
            return forward(*args, **kwargs)

    def choose(self, layer: int, own_NK: Tensor) -> Tensor | None:
        """Take note of a layer's own choice; what to choose instead, or None."""
        self._chosen[layer] = own_NK.detach()
        if self._replay_LNK is None:
            return None
        told_NK = self._replay_LNK[layer]
        return torch.where(told_NK >= 0, told_NK, own_NK)


class _TopK(TorchFunctionMode):
    """Within the block the routers decide the `topk` of a matrix (N, E) of experts' scores."""

    def __init__(self, routers: Routers, layer: int) -> None:
        super().__init__()
        self._routers, self._layer = routers, layer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func not in (torch.topk, Tensor.topk):
            return found
        scores_NE: Tensor = args[0]
        if scores_NE.dim() != 2 or scores_NE.shape[-1] != self._routers.num_experts:  # a choice of groups
            return found
        told_NK = self._routers.choose(self._layer, found[1])
        return found if told_NK is None else (scores_NE.gather(-1, told_NK), told_NK)


def _is_router(path: str, module: nn.Module, name: str) -> bool:
    """A router by its name; where PEFT wraps it, the one inside. A dense model has none."""
    return name != "" and path.removesuffix(".base_layer").endswith(f".{name}") and not isinstance(module, LoraLayer)


def differing(own_NLK: Tensor, other_NLK: Tensor) -> Tensor:
    """Whether a token's experts differ in any layer, (N,); the order of its experts does not count."""
    return (own_NLK.sort(-1)[0] != other_NLK.long().sort(-1)[0]).any(-1).any(-1)


def stacked(routes: Sequence[Routes | None], lengths: Sequence[int], width: int) -> Tensor | None:
    """The routes of a microbatch, (B, width, L, K) int16 with -1 behind each sequence; None where none were captured.

    RunError unless they cover every position of every sequence.
    """
    known = [it for it in routes if it is not None]
    if not known:
        return None
    for row, (item, length) in enumerate(zip(routes, lengths, strict=True)):
        if item is None or item.shape[0] != length:
            raise RunError(
                f"the engine reported the experts of {0 if item is None else item.shape[0]} of {length} positions of "
                f"completion {row}: they cannot be replayed or compared; set engine.return_routed_experts=false"
            )
    filled = np.full((len(routes), width, *known[0].shape[1:]), -1, dtype=np.int16)
    for row, item in enumerate(known):
        filled[row, : item.shape[0]] = item.unpack()
    return torch.from_numpy(filled)
