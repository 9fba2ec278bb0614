"""The base plus the adapter as plain weights: W + scaling * B A, out of place, in float32. Shapes as in
`rl.policy.lora`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoConfig

from doubleback.rewards.types import ConfigError
from doubleback.rl.policy.base import DTYPES, base_tensors, load_base, load_tokenizer
from doubleback.rl.policy.lora import Adapter, Target, export, restore
from doubleback.rl.types import ModelSource

NUM_TOKENS = (2, 64)
"""Random tokens on which a merged checkpoint is compared: sequences, length."""


def delta(adapter: Adapter, target: Target) -> Tensor:
    """scaling * B A in float32, in the base parameter's shape.

    PEFT keeps the factors of E experts as A (R*E, I), experts outermost, and B (O, R*E), experts innermost.
    """
    a = adapter.tensors[f"{target.key}.lora_A.weight"]
    b = adapter.tensors[f"{target.key}.lora_B.weight"]
    if target.num_experts == 1:
        return target.scaling * (b @ a)
    a_ERI = a.reshape(target.num_experts, -1, a.shape[-1])
    b_EOR = b.reshape(b.shape[0], -1, target.num_experts).permute(2, 0, 1)
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


@dataclass(frozen=True, slots=True)
class MergeReport:
    """How exact a merged checkpoint is."""

    num_matrices: int
    """Base parameters that changed."""
    rounding: float
    """Largest |stored - (W + scaling * B A)|, the sum being exact to float32: 0 for a checkpoint in float32."""
    max_logit: float
    """Largest |merged - base with adapter| logit on random tokens."""
    mean_logit: float
    """Mean of the same."""


def merge_checkpoint(path: str, adapter_folder: Path, out: Path, dtype: str | None) -> MergeReport:
    """Write base + adapter as a plain transformers checkpoint with its tokenizer, and measure how exact it is.

    `dtype`: of the checkpoint; None keeps the one the base is stored in. ConfigError where base or adapter do not fit.
    """
    stored = dtype or str(AutoConfig.from_pretrained(path).dtype or "float32").removeprefix("torch.")
    if stored not in DTYPES:
        raise ConfigError(f"{path} is stored in {stored}; give --dtype {' or '.join(DTYPES)} to merge it")
    base = load_base(ModelSource(path, stored, max_length=2))
    tensors = base_tensors(base)
    model = restore(base, adapter_folder)
    ids = torch.randint(0, int(base.config.vocab_size), NUM_TOKENS, generator=torch.Generator().manual_seed(0))
    ids = ids.to(base.device)
    with torch.no_grad():
        with_adapter = model(input_ids=ids).logits.float()
        adapter = export(model)
        weights = merged(tensors, adapter)
        rounding = max(_rounding(tensors, weights, adapter, target) for target in adapter.targets)
        plain = model.unload()
        for name, tensor in weights.items():
            plain.get_parameter(name).data = tensor
        gap = (plain(input_ids=ids).logits.float() - with_adapter).abs()
    plain.save_pretrained(out)
    load_tokenizer(path).save_pretrained(out)
    return MergeReport(len(weights), rounding, float(gap.max()), float(gap.mean()))


def _rounding(base: Mapping[str, Tensor], weights: Mapping[str, Tensor], adapter: Adapter, target: Target) -> float:
    exact = base[target.parameter].float() + delta(adapter, target).to(base[target.parameter].device)
    return float((weights[target.parameter].float() - exact).abs().max())
