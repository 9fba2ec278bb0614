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

    Two tokens, K = 2 of E = 4 experts, the first told [2, 1] by the engine, the second nothing:

        scores      2.0 1.9 2.1 0.0      topk: experts [2, 0], scores [2.1, 2.0]      replayed: [2, 1], [2.1, 1.9]
                    0.5 0.1 0.2 0.4                    [0, 3],        [0.5, 0.4]                [0, 3], [0.5, 0.4]

    A softmax over the chosen scores then weighs the first token's experts .55 and .45, the trainer's own numbers, and
    its gradient reaches the scores of experts 2 and 1.
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
        # On the instance, not by a hook: a hook sees what a router returns, and the choice is made within it.
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
        # (B, T, L, K) -> (B T, L, K) -> (L, N, K): a router sees its tokens in one row, and is asked layer by layer.
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
        # Its own choice, even where another is replayed: the two are compared (`differing`).
        self._chosen[layer] = own_NK.detach()
        if self._replay_LNK is None:
            return None
        told_NK = self._replay_LNK[layer]
        # Padding and the last token have no route, -1 throughout: they go where they would have gone.
        return torch.where(told_NK >= 0, told_NK, own_NK)


class _TopK(TorchFunctionMode):
    """Within the block the routers decide the `topk` of a matrix (N, E) of experts' scores."""

    def __init__(self, routers: Routers, layer: int) -> None:
        super().__init__()
        self._routers, self._layer = routers, layer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func not in (torch.topk, Tensor.topk):
            return result
        scores_NE: Tensor = args[0]
        # DeepSeek first chooses groups of experts, by a topk over scores of another shape: those are its own.
        if scores_NE.dim() != 2 or scores_NE.shape[-1] != self._routers.num_experts:
            return result
        told_NK = self._routers.choose(self._layer, result[1])
        # Gathered from the scores themselves, so that the gradient goes to those of the experts that compute.
        return result if told_NK is None else (scores_NE.gather(-1, told_NK), told_NK)


def _is_router(path: str, module: nn.Module, name: str) -> bool:
    """A router by its name; where PEFT wraps it, the one inside. A dense model has none."""
    return name != "" and path.removesuffix(".base_layer").endswith(f".{name}") and not isinstance(module, LoraLayer)


def differing(own_NLK: Tensor, other_NLK: Tensor) -> Tensor:
    """Whether a token's experts differ in any layer, (N,); the order of its experts does not count.

    A token with [2, 1] and [0, 3] in its two layers does not differ from one with [1, 2] and [3, 0], but from one with
    [1, 2] and [3, 1].
    """
    return (own_NLK.sort(-1)[0] != other_NLK.long().sort(-1)[0]).any(-1).any(-1)


def stacked(routes: Sequence[Routes | None], lengths: Sequence[int], width: int) -> Tensor | None:
    """The routes of a microbatch, (B, width, L, K) int16 with -1 behind each sequence; None where none were captured.

    `lengths`: positions of each sequence that have a route. RunError unless the routes cover all of them.
    """
    captured = [sample_routes for sample_routes in routes if sample_routes is not None]
    if not captured:
        return None
    for row, (sample_routes, length) in enumerate(zip(routes, lengths, strict=True)):
        num_positions = 0 if sample_routes is None else sample_routes.shape[0]
        if num_positions != length:
            raise RunError(
                f"the engine reported the experts of {num_positions} of {length} positions of "
                f"completion {row}: they cannot be replayed or compared; set engine.return_routed_experts=false"
            )
    routes_BTLK = np.full((len(routes), width, *captured[0].shape[1:]), -1, dtype=np.int16)
    for row, sample_routes in enumerate(captured):  # all of them, by now
        routes_BTLK[row, : sample_routes.shape[0]] = sample_routes.unpack()
    return torch.from_numpy(routes_BTLK)
