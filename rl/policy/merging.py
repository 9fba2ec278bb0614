"""The base plus the adapter as plain weights: W + scaling * B A, out of place, in float32. Shapes as in
`rl.policy.lora`.
"""

from collections.abc import Mapping

from torch import Tensor

from doubleback.rl.policy.layout import per_expert
from doubleback.rl.policy.lora import Adapter, Target


def delta(adapter: Adapter, target: Target) -> Tensor:
    """scaling * B A in float32, in the base parameter's shape."""
    a = adapter.tensors[f"{target.key}.lora_A.weight"]
    b = adapter.tensors[f"{target.key}.lora_B.weight"]
    if target.num_experts == 1:
        return target.scaling * (b @ a)
    a_ERI, b_EOR = per_expert(a, b, target.num_experts)
    delta_EOI = target.scaling * (b_EOR @ a_ERI)
    return delta_EOI.transpose(1, 2) if target.is_transposed else delta_EOI


def merged(base: Mapping[str, Tensor], adapter: Adapter) -> dict[str, Tensor]:
    """The adapted parameters W + scaling * B A: summed in float32, out of place, rounded once to the base's dtype.

    Merging in place and unmerging would move the "frozen" base by a rounding at every step.
    """
    return {
        target.parameter: (
            base[target.parameter].float() + delta(adapter, target).to(base[target.parameter].device)
        ).to(base[target.parameter].dtype)
        for target in adapter.targets
    }
