"""A base with its adapter as a plain checkpoint, for programs that know no adapters: `doubleback merge`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from doubleback.rewards.types import ConfigError, RunError
from doubleback.rl.policy.base import DTYPES, base_tensors, load_base, load_configuration, load_tokenizer, random_ids
from doubleback.rl.policy.lora import Adapter, Target, export, restore
from doubleback.rl.policy.merging import delta, merged
from doubleback.rl.types import ModelSource


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

    `dtype`: of the checkpoint; None keeps the one the base is stored in. ConfigError where base or adapter do not fit;
    RunError, with nothing written, where what they compute is not finite.
    """
    stored = dtype or str(load_configuration(path).dtype or "float32").removeprefix("torch.")
    if stored not in DTYPES:
        raise ConfigError(f"{path} is stored in {stored}; give --dtype {' or '.join(DTYPES)} to merge it")
    base = load_base(ModelSource(path, stored, max_length=2))
    tensors = base_tensors(base)
    model = restore(base, adapter_folder)
    ids = random_ids(base)
    with torch.no_grad():
        with_adapter = model(input_ids=ids).logits.float()
        adapter = export(model)
        weights = merged(tensors, adapter)
        roundings = [_rounding(tensors, weights, adapter, target) for target in adapter.targets]
        rounding = float(torch.tensor(roundings).max())  # NaN where one is: Python's own max would hide it
        plain = model.unload()
        for name, tensor in weights.items():
            plain.get_parameter(name).data = tensor
        gap = (plain(input_ids=ids).logits.float() - with_adapter).abs()
    report = MergeReport(len(weights), rounding, float(gap.max()), float(gap.mean()))
    if not (math.isfinite(rounding) and math.isfinite(report.mean_logit)):
        raise RunError(
            f"{adapter_folder} merged into {path} computes no finite logits (rounding {rounding}, mean difference "
            f"{report.mean_logit}); nothing is written: take an earlier checkpoint's adapter"
        )
    plain.save_pretrained(out)
    load_tokenizer(path).save_pretrained(out)
    return report


def _rounding(base: Mapping[str, Tensor], weights: Mapping[str, Tensor], adapter: Adapter, target: Target) -> float:
    exact = base[target.parameter].float() + delta(adapter, target).to(base[target.parameter].device)
    return float((weights[target.parameter].float() - exact).abs().max())
