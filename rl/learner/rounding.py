"""The same forward pass with other roundings: how far a model is from itself, where only the last bits differ.

Another batch shape is not enough to measure that: a matrix product on a CPU sums each row in one order whatever the
batch, and of bfloat16 models not a bit changes (docs/sync.md has the figures).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer


@contextmanager
def rounded_anew(model: nn.Module) -> Iterator[None]:
    """Within the block each number that leaves a layer is multiplied by 1 - e, 1 or 1 + e, at random, e the precision.

    The variance of one such move is that of about eight roundings, and a layer rounds about as often. For example in
    bfloat16, where e is 2^-7, the numbers 1.0, -4.0, 0.5 may leave as 1.0078125, -4.0, 0.49609375.
    """
    generator = torch.Generator().manual_seed(0)

    def move(module: nn.Module, inputs: Any, output: Any) -> Any:
        is_tuple = isinstance(output, tuple)
        hidden: Tensor = output[0] if is_tuple else output
        units = torch.randint(-1, 2, hidden.shape, generator=generator).to(hidden)
        moved = hidden * (1 + torch.finfo(hidden.dtype).eps * units)
        return (moved, *output[1:]) if is_tuple else moved

    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, GradientCheckpointingLayer):
                handle = module.register_forward_hook(move)
                stack.callback(handle.remove)
        yield
