"""One forward pass without padding, in which the completions of a problem share its prompt.

Everything but attention works on single tokens, so the tokens of a microbatch are laid out in one row of N: each prompt
once, then the completions that belong to it. Attention alone needs sequences; there they are put into rectangles, those
of about one length into each, and the result is taken out again. The same numbers come out as from the padded rectangle
of all, up to rounding.

Prefix sharing of grouped rollouts: Prefix Grouper (arXiv:2506.05433), there with attention kernels of its own.

Shapes: B completions, T tokens of prompt + completion, N tokens in the row, M tokens with a loss, H heads, D of a head.
"""

import sys
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from doubleback.rewards.types import ConfigError

IMPLEMENTATION = "doubleback_packed"
SIMILAR = 0.75
"""Rows go into one rectangle down to this share of its width: attention's cost is in the square of it."""
STATEFUL = ("mamba", "linear_attention")
"""Layers that read a row from left to right, and would mix what shares it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each token of a rectangle (B, T) stands in the row, and back."""

    source_N: Tensor
    """For each token of the row its place in the flattened rectangle; of a shared prompt, in the first of its rows."""
    place_BT: Tensor
    """For each token of the rectangle its place in the row; 0 on padding, which nothing reads."""
    rectangles: tuple[Tensor, ...]
    """The same, cut into rectangles of rows of about one length: what attention works on."""
    taken_N: Tensor
    """For each token of the row its place in the flattened rectangles, one after the other."""


def lay_out(
    prompts: Sequence[Hashable], prompt_lengths: Sequence[int], lengths: Sequence[int], device: torch.device
) -> Layout:
    """The layout of rows of these lengths (prompt included) in a rectangle as wide as the longest.

    Rows whose `prompts` are equal share the first `prompt_lengths` tokens.
    """
    width = max(lengths)
    place_BT = torch.zeros(len(lengths), width, dtype=torch.long)
    sources: list[Tensor] = []
    first_rows: dict[Hashable, int] = {}
    count = 0
    for row, (prompt, shared, length) in enumerate(zip(prompts, prompt_lengths, lengths, strict=True)):
        first = first_rows.setdefault(prompt, row)
        start = shared if first != row else 0
        place_BT[row, :start] = place_BT[first, :start]
        place_BT[row, start:length] = torch.arange(count, count + length - start)
        sources.append(row * width + torch.arange(start, length))
        count += length - start
    source_N = torch.cat(sources)
    rectangles, flat_BT = _cut(place_BT, lengths)
    taken_N = flat_BT.flatten()[source_N]
    return Layout(
        source_N.to(device), place_BT.to(device), tuple(it.to(device) for it in rectangles), taken_N.to(device)
    )


def _cut(place_BT: Tensor, lengths: Sequence[int]) -> tuple[list[Tensor], Tensor]:
    """Rectangles of rows of about one length, and for each token its place in them, flattened."""
    flat_BT = torch.zeros_like(place_BT)
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    rectangles: list[Tensor] = []
    start = count = 0
    while start < len(order):
        width = lengths[order[start]]
        rows = [row for row in order[start:] if lengths[row] >= SIMILAR * width]
        rectangles.append(place_BT[rows, :width])
        flat_BT[rows, :width] = count + torch.arange(len(rows) * width).view(len(rows), width)
        start, count = start + len(rows), count + len(rows) * width
    return rectangles, flat_BT


def refuse_stateful(model: PreTrainedModel) -> None:
    """ConfigError for a model with layers that cannot be packed."""
    kinds = set(getattr(model.config, "layer_types", None) or []) & set(STATEFUL)
    if kinds:
        raise ConfigError(
            f"optim.pack=true: {model.config.model_type} has {' and '.join(sorted(kinds))} layers, which read a row "
            f"from left to right and would mix its sequences; set optim.pack=false"
        )


@contextmanager
def packed(model: PreTrainedModel, layout: Layout) -> Iterator[None]:
    """Within the block the model's attention puts the row (1, N) into its rectangle. Forward and backward pass."""
    before = model.config._attn_implementation
    _active.append((layout, before))
    model.config._attn_implementation = IMPLEMENTATION
    try:
        yield
    finally:
        model.config._attn_implementation = before
        _active.pop()


_active: list[tuple[Layout, str]] = []
"""The layout that attention works on, and the implementation that it hands to."""


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: None, **settings: Any
) -> tuple[Tensor, None]:
    """transformers' attention interface: (1, H, N, D) in, (1, N, H, D) out."""
    layout, name = _active[-1]
    # A family's own plain attention stands in its own file: gpt-oss has sinks there.
    plain = sys.modules[type(module).__module__].eager_attention_forward
    attend = plain if name == "eager" else ALL_ATTENTION_FUNCTIONS[name]
    window = settings.get("sliding_window")
    outputs = []
    for place_BT in layout.rectangles:
        width = place_BT.shape[1]
        needs_mask = name != "sdpa" or (window is not None and window < width)
        mask = _causal_mask(width, window, query) if needs_mask else None
        sequences = (_to_rectangle(rows, place_BT) for rows in (query, key, value))
        outputs.append(attend(module, *sequences, mask, **settings)[0].flatten(0, 1))
    return torch.cat(outputs).index_select(0, layout.taken_N).unsqueeze(0), None


def _to_rectangle(rows_1HND: Tensor, place_BT: Tensor) -> Tensor:
    """The rows one by one, padded: (B, H, T, D)."""
    rows_NHD = rows_1HND[0].transpose(0, 1)
    picked = rows_NHD.index_select(0, place_BT.flatten())
    return picked.view(*place_BT.shape, *rows_NHD.shape[1:]).transpose(1, 2)


def _causal_mask(width: int, window: int | None, like: Tensor) -> Tensor:
    """Added to the scores, (1, 1, T, T): each token sees itself, those before it, and of those the last `window`."""
    distance_TT = torch.arange(width, device=like.device)[:, None] - torch.arange(width, device=like.device)
    is_seen = (distance_TT >= 0) & (distance_TT < (window or width))
    blocked = torch.finfo(like.dtype).min
    return torch.zeros(width, width, dtype=like.dtype, device=like.device).masked_fill(~is_seen, blocked)[None, None]


ALL_ATTENTION_FUNCTIONS.register(IMPLEMENTATION, _attention)
