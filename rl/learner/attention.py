"""Attention of a row of tokens in which sequences share their beginnings: block by block, each query computed once.

What a row is, and an example: `rl.learner.packing`. Shapes: N tokens in the row, H heads, D of a head, S sequences of a
block, Q queries of each, K keys of each.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

IMPLEMENTATION = "doubleback_packed"


@dataclass(frozen=True, slots=True)
class Block:
    """Sequences of about one size, for whose last tokens attention is computed. `rl.learner.packing` has an example."""

    queries_SQ: Tensor
    """Places in the row of the tokens that look; 0 on padding."""
    keys_SK: Tensor
    """Places in the row of the whole sequences, at which they look; 0 on padding."""
    first_S: Tensor
    """Position in its sequence of the first query."""
    is_whole: bool
    """Whether all the sequences' tokens are queries, so that queries and keys are the same."""

    def mask(self, window: int | None, like: Tensor) -> Tensor:
        """Added to the scores, (S, 1, Q, K): each query sees itself, what is before it, and of that the last `window`.

        For example a query at position 2 of 4 keys, with a window of 2: (-, 0, 0, -), where - is the lowest number.
        """
        num_queries, num_keys = self.queries_SQ.shape[1], self.keys_SK.shape[1]
        position_SQ = self.first_S[:, None] + torch.arange(num_queries, device=like.device)
        distance_SQK = position_SQ[:, :, None] - torch.arange(num_keys, device=like.device)
        is_seen = (distance_SQK >= 0) & (distance_SQK < (window or num_keys))
        zero = torch.zeros((), dtype=like.dtype, device=like.device)
        return torch.where(is_seen, zero, torch.finfo(like.dtype).min)[:, None]

    def to(self, device: torch.device) -> "Block":
        """On that device."""
        return Block(self.queries_SQ.to(device), self.keys_SK.to(device), self.first_S.to(device), self.is_whole)


@contextmanager
def on_blocks(model: PreTrainedModel, blocks: Sequence[Block], taken_N: Tensor) -> Iterator[None]:
    """Within the context the model's attention computes a row (1, N) block by block. Forward and backward pass.

    `taken_N`: for each token of the row its place among the flattened queries of the blocks, one after the other.
    """
    before = model.config._attn_implementation
    _active.append((blocks, taken_N, before, {}))
    # transformers looks the name up at every call of an attention layer, and finds `_attention`.
    model.config._attn_implementation = IMPLEMENTATION
    try:
        yield
    finally:
        model.config._attn_implementation = before
        _active.pop()


_active: list[tuple[Sequence[Block], Tensor, str, dict[tuple[int, int | None, int], Tensor]]] = []
"""Blocks, what is taken from them, the implementation that attention hands to, and masks: by block, window, and heads
that look at the same keys."""


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: None, **settings: Any
) -> tuple[Tensor, None]:
    """transformers' attention interface: (1, H, N, D) in, (1, N, H, D) out."""
    blocks, taken_N, name, masks = _active[-1]
    # A family's own plain attention stands in its own file: gpt-oss has sinks there.
    plain = sys.modules[type(module).__module__].eager_attention_forward
    attend = plain if name == "eager" else ALL_ATTENTION_FUNCTIONS[name]
    window = settings.get("sliding_window")
    num_sharing = query.shape[1] // key.shape[1] if name == "sdpa" else 1
    outputs = []
    for number, block in enumerate(blocks):
        # Positions are in query and key already: the rotation was done in the row, with `position_ids`.
        queries = _to_rectangle(query, block.queries_SQ)
        keys, values = (_to_rectangle(rows, block.keys_SK) for rows in (key, value))
        # Without a mask sdpa is causal by itself. Padding stands behind its sequence, where no token of it looks.
        if name == "sdpa" and block.is_whole and (window is None or window >= block.keys_SK.shape[1]):
            output = attend(module, queries, keys, values, None, **settings)[0]
        else:
            which = number, window, num_sharing
            if which not in masks:  # one for all layers
                masks[which] = block.mask(window, query).repeat(1, 1, num_sharing, 1)
            output = (
                _masked_sdpa(queries, keys, values, masks[which], settings)
                if name == "sdpa"
                else attend(module, queries, keys, values, masks[which], **settings)[0]
            )
        # (S, Q, H, D) -> (S * Q, H, D): the queries of this block, one after the other
        outputs.append(output.flatten(0, 1))
    # No gradient is lost: sequences read the keys and values of what they share from its one place in the row, and what
    # each adds sums up there.
    return torch.cat(outputs).index_select(0, taken_N).unsqueeze(0), None


def _masked_sdpa(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, settings: Mapping[str, Any]) -> Tensor:
    """torch's attention: (S, H, Q, D) in, (S, Q, H, D) out. Heads that look at the same keys are more queries of those.

    For example 9 heads of queries on 3 of keys: (S, 9, Q, D) becomes (S, 3, 3 * Q, D), and `mask` has each of its rows
    three times. Where there is a mask transformers would repeat keys and values, and take two and a half times as long.
    """
    num_sequences, num_heads, num_queries, _ = query.shape
    grouped = query.reshape(num_sequences, key.shape[1], -1, query.shape[3])
    output = scaled_dot_product_attention(
        grouped, key, value, mask, settings.get("dropout", 0.0), scale=settings.get("scaling")
    )
    return output.reshape(num_sequences, num_heads, num_queries, -1).transpose(1, 2)


def _to_rectangle(rows_1HND: Tensor, place_SQ: Tensor) -> Tensor:
    """(S, H, Q, D): each cell takes its token's row, padding that of token 0, which nothing reads."""
    rows_NHD = rows_1HND[0].transpose(0, 1)
    cells = rows_NHD.index_select(0, place_SQ.flatten())
    return cells.view(*place_SQ.shape, *rows_NHD.shape[1:]).transpose(1, 2)


ALL_ATTENTION_FUNCTIONS.register(IMPLEMENTATION, _attention)
