"""One forward pass without padding, in which the completions of a problem share its prompt.

Everything but attention works on single tokens, so the tokens of a microbatch are laid out in one row of N: each prompt
once, then the completions that belong to it. Attention alone needs sequences; there they are put into rectangles, those
of about one length into each, and the result is taken out again. The same numbers come out as from the padded rectangle
of all, up to rounding.

For example two completions x y z and u v of the prompt a b, and one completion q of the prompt p. A completion's last
token is predicted, never computed, so that the padded rectangle would be

    a b x y         and in the row stand        a b x y u p      (N = 6)
    a b u -                                     0 1 2 3 4 5
    p - - -

    source_N    0 1 2 3 6 8           where each token of the row stands in the rectangle, read row by row
    place_BT    0 1 2 3 / 0 1 4 0 / 5 0 0 0     where each token of the rectangle stands in the row; padding says 0
    rectangles  0 1 2 3 / 0 1 4 0   and   5     the same, cut: widths 4 and 1, for 1 is less than three quarters of 4
    taken_N     0 1 2 3 6 8           where each token of the row stands in the two rectangles, read one after the other

Prefix sharing of grouped rollouts: Prefix Grouper (arXiv:2506.05433), there with attention kernels of its own.

Shapes: B completions, T tokens of prompt + completion, N tokens in the row, M tokens with a loss, H heads, D of a head.
"""

import sys
from collections.abc import Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from doubleback.rewards.types import ConfigError
from doubleback.rl.types import Sample

IMPLEMENTATION = "doubleback_packed"
SIMILAR = 0.75
"""Sequences go into one rectangle down to this share of its width: attention's cost is in the square of it."""
STATEFUL = ("mamba", "linear_attention")
"""Layers that read a row from left to right, and would mix what shares it."""


@dataclass(frozen=True, slots=True)
class Packed:
    """The layout in which every microbatch is one row without padding."""

    is_shared: bool
    """Whether the completions of a problem share one copy of its prompt."""

    def require(self, model: PreTrainedModel) -> None:
        """ConfigError for a model with layers that cannot be packed."""
        kinds = set(getattr(model.config, "layer_types", None) or []) & set(STATEFUL)
        if kinds:
            raise ConfigError(
                f"optim.pack=true: {model.config.model_type} has {' and '.join(sorted(kinds))} layers, which read a "
                f"row from left to right and would mix its sequences; set optim.pack=false"
            )

    def cut(self, samples: Sequence[Sample], max_tokens: int) -> Iterator[list[int]]:
        """Shared prompts count once. Samples of one prompt stand together, those with the longest sample first."""
        prompts = [_prompt(sample) if self.is_shared else index for index, sample in enumerate(samples)]
        order = sorted(range(len(samples)), key=lambda index: -samples[index].num_inputs)
        longest: dict[Hashable, int] = {}
        for position, index in enumerate(order):
            longest.setdefault(prompts[index], position)
        order.sort(key=lambda index: longest[prompts[index]])
        indices: list[int] = []
        num_tokens, present = 0, set[Hashable]()
        for index in order:
            sample = samples[index]
            further = len(sample.completion_ids) - 1 if prompts[index] in present else sample.num_inputs
            if indices and num_tokens + further > max_tokens:
                yield indices
                indices, num_tokens, present, further = [], 0, set(), sample.num_inputs
            indices.append(index)
            num_tokens += further
            present.add(prompts[index])
        if indices:
            yield indices

    def place(self, samples: Sequence[Sample], device: torch.device) -> "Row":
        """The samples one after the other, prompts that are shared with the first of theirs."""
        prompts = [_prompt(sample) if self.is_shared else index for index, sample in enumerate(samples)]
        return lay_out(
            prompts, [len(sample.prompt_ids) for sample in samples], [sample.num_inputs for sample in samples], device
        )


@dataclass(frozen=True, slots=True)
class Row:
    """The placement of a packed microbatch. The head of this file has an example of each tensor."""

    source_N: Tensor
    """For each token of the row its place in the flattened rectangle; of a shared prompt, in the first of its rows."""
    place_BT: Tensor
    """For each token of the rectangle its place in the row; 0 on padding, which nothing reads."""
    rectangles: tuple[Tensor, ...]
    """The same, cut into rectangles of sequences of about one length: what attention works on."""
    taken_N: Tensor
    """For each token of the row its place in the flattened rectangles, one after the other."""

    def attending(self, model: PreTrainedModel) -> AbstractContextManager[None]:
        """The model's attention puts the row into its rectangles."""
        return packed(model, self)

    def inputs(self, input_ids_BT: Tensor) -> dict[str, Tensor]:
        """The row, and the position of each token in its own sequence, which begins in the first column."""
        positions_1N = (self.source_N % self.place_BT.shape[1]).unsqueeze(0)
        return {"input_ids": self.in_pass(input_ids_BT), "position_ids": positions_1N}

    def before_targets(self, hidden: Tensor, loss_mask_BT: Tensor) -> Tensor:
        """The last token of a shared prompt stands before the first of every completion, and is taken for each."""
        return hidden[0].index_select(0, self.place_BT[loss_mask_BT])

    def in_pass(self, values_BT: Tensor) -> Tensor:
        """A prompt that is shared has the values of its first sequence."""
        return values_BT.flatten(0, 1)[self.source_N].unsqueeze(0)

    def without_padding(self, values_N: Tensor) -> Tensor:
        """There is none."""
        return values_N


def lay_out(
    prompts: Sequence[Hashable], prompt_lengths: Sequence[int], lengths: Sequence[int], device: torch.device
) -> Row:
    """The placement of sequences of these lengths (prompt included) in a rectangle as wide as the longest.

    Sequences whose `prompts` are equal share the first `prompt_lengths` tokens.
    """
    width = max(lengths)
    place_BT = torch.zeros(len(lengths), width, dtype=torch.long)
    sources: list[Tensor] = []
    first_rows: dict[Hashable, int] = {}
    num_placed = 0
    for row, (prompt, prompt_length, length) in enumerate(zip(prompts, prompt_lengths, lengths, strict=True)):
        first = first_rows.setdefault(prompt, row)
        # What stands in the row already: the prompt of an earlier sequence, or nothing.
        start = prompt_length if first != row else 0
        place_BT[row, :start] = place_BT[first, :start]
        place_BT[row, start:length] = torch.arange(num_placed, num_placed + length - start)
        sources.append(row * width + torch.arange(start, length))
        num_placed += length - start
    source_N = torch.cat(sources)
    rectangles, flat_BT = _cut(place_BT, lengths)
    taken_N = flat_BT.flatten()[source_N]
    return Row(
        source_N.to(device),
        place_BT.to(device),
        tuple(rectangle_BT.to(device) for rectangle_BT in rectangles),
        taken_N.to(device),
    )


def _cut(place_BT: Tensor, lengths: Sequence[int]) -> tuple[list[Tensor], Tensor]:
    """Rectangles of sequences of about one length, and for each token its place in them, flattened."""
    flat_BT = torch.zeros_like(place_BT)
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    rectangles: list[Tensor] = []
    start = num_cells = 0
    while start < len(order):
        width = lengths[order[start]]
        # Sorted by length: those that are long enough are the next ones, and the first always is.
        rows = [row for row in order[start:] if lengths[row] >= SIMILAR * width]
        rectangles.append(place_BT[rows, :width])
        # Cell c of this rectangle is cell num_cells + c of all of them.
        flat_BT[rows, :width] = num_cells + torch.arange(len(rows) * width).view(len(rows), width)
        start, num_cells = start + len(rows), num_cells + len(rows) * width
    return rectangles, flat_BT


def _prompt(sample: Sample) -> Hashable:
    """What samples that share a prompt have in common: its tokens, and the experts that these went to."""
    routes, num_tokens = sample.routes, len(sample.prompt_ids)
    bytes_per_token = 0 if routes is None or not routes.shape[0] else len(routes.content) // routes.shape[0]
    return sample.prompt_ids, b"" if routes is None else routes.content[: num_tokens * bytes_per_token]


@contextmanager
def packed(model: PreTrainedModel, placement: Row) -> Iterator[None]:
    """Within the block the model's attention puts the row (1, N) into its rectangles. Forward and backward pass."""
    before = model.config._attn_implementation
    _active.append((placement, before))
    # transformers looks the name up at every call of an attention layer, and finds `_attention`.
    model.config._attn_implementation = IMPLEMENTATION
    try:
        yield
    finally:
        model.config._attn_implementation = before
        _active.pop()


_active: list[tuple[Row, str]] = []
"""The placement that attention works on, and the implementation that it hands to."""


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: None, **settings: Any
) -> tuple[Tensor, None]:
    """transformers' attention interface: (1, H, N, D) in, (1, N, H, D) out."""
    placement, name = _active[-1]
    # A family's own plain attention stands in its own file: gpt-oss has sinks there.
    plain = sys.modules[type(module).__module__].eager_attention_forward
    attend = plain if name == "eager" else ALL_ATTENTION_FUNCTIONS[name]
    window = settings.get("sliding_window")
    outputs = []
    for place_BT in placement.rectangles:
        width = place_BT.shape[1]
        # Without a mask sdpa is causal by itself. Padding stands behind its sequence, where no token of it looks.
        needs_mask = name != "sdpa" or (window is not None and window < width)
        mask = _causal_mask(width, window, query) if needs_mask else None
        # Positions are in query and key already: the rotation was done in the row, with `position_ids`.
        sequences = (_to_rectangle(rows, place_BT) for rows in (query, key, value))
        # (B, T, H, D) -> (B * T, H, D): the cells of this rectangle, one after the other
        outputs.append(attend(module, *sequences, mask, **settings)[0].flatten(0, 1))
    # A shared prompt comes out once for every completion, each time the same; the first is taken. No gradient is lost:
    # completions read the prompt's keys and values from its one place in the row, and what each adds sums up there.
    return torch.cat(outputs).index_select(0, placement.taken_N).unsqueeze(0), None


def _to_rectangle(rows_1HND: Tensor, place_BT: Tensor) -> Tensor:
    """(B, H, T, D): each cell takes its token's row, padding that of token 0, which nothing reads."""
    rows_NHD = rows_1HND[0].transpose(0, 1)
    cells = rows_NHD.index_select(0, place_BT.flatten())
    return cells.view(*place_BT.shape, *rows_NHD.shape[1:]).transpose(1, 2)


def _causal_mask(width: int, window: int | None, like: Tensor) -> Tensor:
    """Added to the scores, (1, 1, T, T): each token sees itself, those before it, and of those the last `window`.

    For example width 3 and window 2: rows (0, -, -), (0, 0, -), (-, 0, 0), where - is the lowest number.
    """
    distance_TT = torch.arange(width, device=like.device)[:, None] - torch.arange(width, device=like.device)
    is_seen = (distance_TT >= 0) & (distance_TT < (window or width))
    blocked = torch.finfo(like.dtype).min
    return torch.zeros(width, width, dtype=like.dtype, device=like.device).masked_fill(~is_seen, blocked)[None, None]


ALL_ATTENTION_FUNCTIONS.register(IMPLEMENTATION, _attention)
