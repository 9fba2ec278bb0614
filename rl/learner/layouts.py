"""How samples lie in a forward pass: as padded rectangles, or in rows without padding. `layout_of` decides, once.

Shapes: B completions, T tokens of prompt + completion, N tokens of the pass, M tokens with a loss, D hidden.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from doubleback.rl.config import OptimConfig
from doubleback.rl.learner.packing import Packed
from doubleback.rl.types import Sample


class Placement(Protocol):
    """Where the tokens of one microbatch stand in its forward pass."""

    def attending(self, model: PreTrainedModel) -> AbstractContextManager[None]:
        """A block in which the model's attention works on the sequences of the microbatch."""

    def inputs(self, input_ids_BT: Tensor) -> dict[str, Tensor]:
        """What the decoder is called with: (B, T) or (1, N)."""

    def before_targets(self, hidden: Tensor, loss_mask_BT: Tensor) -> Tensor:
        """The hidden states before each token with a loss, (M, D), of what the decoder returned."""

    def in_pass(self, values_BT: Tensor) -> Tensor:
        """Values of the padded tokens (B, T, ...) as the pass has its tokens: (B, T, ...) or (1, N, ...)."""

    def without_padding(self, values_N: Tensor) -> Tensor:
        """Of values of all tokens of the pass, one after the other, those that are no padding."""


class Layout(Protocol):
    """How the samples of a step become microbatches."""

    def require(self, model: PreTrainedModel) -> None:
        """ConfigError for a model that cannot be computed so."""

    def cut(self, samples: Sequence[Sample], max_tokens: int) -> Iterator[list[int]]:
        """Indices of the samples of each microbatch: long ones first, at most `max_tokens` tokens or one sample."""

    def place(self, samples: Sequence[Sample], device: torch.device) -> Placement:
        """The placement of one microbatch."""


def layout_of(optim: OptimConfig) -> Layout:
    """The layout that the recipe asks for."""
    return Packed(optim.share_prompts) if optim.pack else Padded()


class Padded:
    """Every microbatch is the rectangle of its samples, as wide as the longest."""

    def require(self, model: PreTrainedModel) -> None:
        """Any model can be computed so."""

    def cut(self, samples: Sequence[Sample], max_tokens: int) -> Iterator[list[int]]:
        """Of about one length each; padding counts."""
        order = sorted(range(len(samples)), key=lambda index: -samples[index].num_inputs)
        start = 0
        while start < len(order):
            # The first is the longest, and with it the width of all.
            stop = start + max(1, max_tokens // samples[order[start]].num_inputs)
            yield order[start:stop]
            start = stop

    def place(self, samples: Sequence[Sample], device: torch.device) -> "Rectangle":
        """Every sequence begins in the first column."""
        lengths_B = torch.tensor([sample.num_inputs for sample in samples])
        is_token_BT = torch.arange(int(lengths_B.max())) < lengths_B[:, None]
        return Rectangle(is_token_BT.long().to(device))


@dataclass(frozen=True, slots=True)
class Rectangle:
    """The placement of a padded microbatch: the pass has the tokens as the microbatch has them."""

    attention_mask_BT: Tensor
    """1 on tokens, 0 on padding."""

    def attending(self, model: PreTrainedModel) -> AbstractContextManager[None]:
        """The model's own attention, which reads the mask."""
        return nullcontext()

    def inputs(self, input_ids_BT: Tensor) -> dict[str, Tensor]:
        """Rectangle and mask."""
        return {"input_ids": input_ids_BT, "attention_mask": self.attention_mask_BT}

    def before_targets(self, hidden: Tensor, loss_mask_BT: Tensor) -> Tensor:
        """Column t stands before token t + 1, and so does the mask."""
        return hidden[loss_mask_BT]

    def in_pass(self, values_BT: Tensor) -> Tensor:
        """As they are."""
        return values_BT

    def without_padding(self, values_N: Tensor) -> Tensor:
        """N runs over (B, T)."""
        return values_N[self.attention_mask_BT.flatten() > 0]
