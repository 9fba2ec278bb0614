"""One forward pass without padding, in which sequences share what they have in common from the beginning on.

Everything but attention works on single tokens, so the tokens of a microbatch are laid out in one row of N, each once:
where sequences begin with the same tokens, as a problem's completions do, and problems behind the same worked examples,
that beginning stands there once. Attention alone needs sequences. It is computed for those tokens of each that
no sequence before it had, and these look at all that stands before them; those of about one size are put into a
rectangle, and the result is taken out again. The same numbers come out as from the padded rectangle of all, up to
rounding.

For example two completions x y z and u v of the prompt a b, and one completion q r of the prompt a c. A completion's
last token is predicted, never computed, so that the padded rectangle would be

    a b x y         and in the row stand        a b x y u c q      (N = 7)
    a b u -                                     0 1 2 3 4 5 6
    a c q -

    source_N    0 1 2 3 6 9 10    where each token of the row stands in the rectangle, read row by row
    place_BT    0 1 2 3 / 0 1 4 0 / 0 5 6 0    where each token of the rectangle stands in the row; padding says 0
    blocks      what attention works on. The first sequence is whole: queries and keys are 0 1 2 3. Of the others c q
                and u are new: queries 5 6 / 4 0, keys 0 5 6 / 0 1 4; the first query of each stands at position 1 / 2
    taken_N     0 1 2 3 6 4 5    where each token of the row stands among the queries of the blocks, read in turn

Prefix sharing of grouped rollouts: Prefix Grouper (arXiv:2506.05433), there of a group's prompt, with attention kernels
of its own.

Shapes: B completions, T tokens of prompt + completion, N tokens in the row, M tokens with a loss, S sequences of a
block, Q queries of each, K keys of each.
"""

from collections.abc import Hashable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from doubleback.rewards.types import ConfigError
from doubleback.rl.learner.attention import Block, on_blocks
from doubleback.rl.types import Sample

SIMILAR, FEW = 0.75, 8
"""Sequences go into one block whose numbers of queries, and of keys, differ by no more than a quarter or by so few."""
STATEFUL = ("mamba", "linear_attention")
"""Layers that read a row from left to right, and would mix what shares it."""


@dataclass(frozen=True, slots=True)
class Packed:
    """The layout in which every microbatch is one row without padding."""

    is_shared: bool
    """Whether sequences share what they have in common from the beginning on."""

    def require(self, model: PreTrainedModel) -> None:
        """ConfigError for a model with layers that cannot be packed."""
        kinds = set(getattr(model.config, "layer_types", None) or []) & set(STATEFUL)
        if kinds:
            raise ConfigError(
                f"optim.pack=true: {model.config.model_type} has {' and '.join(sorted(kinds))} layers, which read a "
                f"row from left to right and would mix its sequences; set optim.pack=false"
            )

    def cut(self, samples: Sequence[Sample], max_tokens: int) -> Iterator[list[int]]:
        """What is shared counts once. Samples of one prompt stand together, those with the longest sample first."""
        order = sorted(range(len(samples)), key=lambda index: -samples[index].num_inputs)
        prompts: list[Hashable] = [sample.prompt_ids if self.is_shared else row for row, sample in enumerate(samples)]
        longest: dict[Hashable, int] = {}
        for position, index in enumerate(order):
            longest.setdefault(prompts[index], position)
        order.sort(key=lambda index: longest[prompts[index]])
        indices, beginnings = list[int](), Beginnings()
        for index in order:
            tokens = self._tokens(samples[index], index)
            if indices and beginnings.num_tokens + beginnings.num_new(tokens) > max_tokens:
                yield indices
                indices, beginnings = [], Beginnings()
            beginnings.add(tokens)
            indices.append(index)
        if indices:
            yield indices

    def place(self, samples: Sequence[Sample], device: torch.device) -> "Row":
        """The samples one after the other, what is shared with the first of those that share it."""
        return lay_out([self._tokens(sample, row) for row, sample in enumerate(samples)], device)

    def _tokens(self, sample: Sample, owner: int) -> list[Hashable]:
        """What is computed of the sample, token by token; where nothing is shared, the first is its `owner`'s alone."""
        tokens: list[Hashable] = list((*sample.prompt_ids, *sample.completion_ids)[: sample.num_inputs])
        if sample.routes is not None and sample.routes.shape[0]:  # what went to other experts is computed apart
            content, size = sample.routes.content, len(sample.routes.content) // sample.routes.shape[0]
            tokens = [(token, content[size * t : size * (t + 1)]) for t, token in enumerate(tokens)]
        return tokens if self.is_shared else [(owner, tokens[0]), *tokens[1:]]


class Beginnings:
    """The tokens of a row, each known by what it is and by the place of the one before it."""

    def __init__(self) -> None:
        self._places: dict[tuple[int, Hashable], int] = {}

    @property
    def num_tokens(self) -> int:
        """Tokens in the row."""
        return len(self._places)

    def num_new(self, tokens: Sequence[Hashable]) -> int:
        """How many of the sequence's tokens do not stand in the row yet."""
        place = -1
        for column, token in enumerate(tokens):
            found = self._places.get((place, token))
            if found is None:
                return len(tokens) - column
            place = found
        return 0

    def add(self, tokens: Sequence[Hashable]) -> list[int]:
        """The place in the row of each token of the sequence; what is new comes to its end."""
        places, place = list[int](), -1
        for token in tokens:
            place = self._places.setdefault((place, token), len(self._places))
            places.append(place)
        return places


@dataclass(frozen=True, slots=True)
class Row:
    """The placement of a packed microbatch. The head of this file has an example of each tensor."""

    source_N: Tensor
    """For each token of the row its place in the flattened rectangle; of a shared one, in the first of its rows."""
    place_BT: Tensor
    """For each token of the rectangle its place in the row; 0 on padding, which nothing reads."""
    blocks: tuple[Block, ...]
    """What attention works on: together they have each token of the row among their queries once."""
    taken_N: Tensor
    """For each token of the row its place among the flattened queries of the blocks, one after the other."""

    def attending(self, model: PreTrainedModel) -> AbstractContextManager[None]:
        """The model's attention works on the blocks of the row."""
        return on_blocks(model, self.blocks, self.taken_N)

    def inputs(self, input_ids_BT: Tensor) -> dict[str, Tensor]:
        """The row, and the position of each token in its own sequence, which begins in the first column."""
        positions_1N = (self.source_N % self.place_BT.shape[1]).unsqueeze(0)
        return {"input_ids": self.in_pass(input_ids_BT), "position_ids": positions_1N}

    def before_targets(self, hidden: Tensor, loss_mask_BT: Tensor) -> Tensor:
        """The last token of a shared prompt stands before the first of every completion, and is taken for each."""
        return hidden[0].index_select(0, self.place_BT[loss_mask_BT])

    def in_pass(self, values_BT: Tensor) -> Tensor:
        """What is shared has the values of its first sequence."""
        return values_BT.flatten(0, 1)[self.source_N].unsqueeze(0)

    def without_padding(self, values_N: Tensor) -> Tensor:
        """There is none."""
        return values_N


def lay_out(sequences: Sequence[Sequence[Hashable]], device: torch.device) -> Row:
    """The placement of sequences of tokens, whose equal beginnings are shared."""
    width, beginnings = max(map(len, sequences)), Beginnings()
    place_BT = torch.zeros(len(sequences), width, dtype=torch.long)
    sources, starts = list[Tensor](), list[int]()
    for row, tokens in enumerate(sequences):
        starts.append(len(tokens) - beginnings.num_new(tokens))
        place_BT[row, : len(tokens)] = torch.tensor(beginnings.add(tokens))
        sources.append(row * width + torch.arange(starts[-1], len(tokens)))
    source_N = torch.cat(sources)
    blocks, flat_BT = _cut(place_BT, starts, [len(tokens) for tokens in sequences])
    taken_N = flat_BT.flatten()[source_N]
    moved = tuple(block.to(device) for block in blocks)
    return Row(source_N.to(device), place_BT.to(device), moved, taken_N.to(device))


def _cut(place_BT: Tensor, starts: Sequence[int], lengths: Sequence[int]) -> tuple[list[Block], Tensor]:
    """Blocks of sequences of about one size, and for each query its place among those of all of them."""
    flat_BT = torch.zeros_like(place_BT)
    num_queries = [length - start for start, length in zip(starts, lengths, strict=True)]
    left = sorted((row for row, count in enumerate(num_queries) if count), key=lambda row: -num_queries[row])
    blocks, num_cells = list[Block](), 0
    while left:
        first = left[0]
        rows = [
            row
            for row in left
            if (starts[row] == 0) == (starts[first] == 0)
            and _are_similar(num_queries[row], num_queries[first])
            and _are_similar(lengths[row], lengths[first])
        ]
        left = [row for row in left if row not in set(rows)]
        width = num_queries[first]
        queries_SQ = torch.zeros(len(rows), width, dtype=torch.long)
        for index, row in enumerate(rows):
            asked = slice(starts[row], lengths[row])
            queries_SQ[index, : num_queries[row]] = place_BT[row, asked]
            flat_BT[row, asked] = num_cells + index * width + torch.arange(num_queries[row])
        keys_SK = place_BT[rows, : max(lengths[row] for row in rows)]
        blocks.append(Block(queries_SQ, keys_SK, torch.tensor([starts[row] for row in rows]), starts[first] == 0))
        num_cells += queries_SQ.numel()
    return blocks, flat_BT


def _are_similar(one: int, other: int) -> bool:
    less, more = sorted((one, other))
    return less >= SIMILAR * more or more - less <= FEW
