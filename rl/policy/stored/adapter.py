"""The folder of an adapter."""

from pathlib import Path

from doubleback.rewards.records import read_record
from doubleback.rewards.types import ConfigError, shortened
from doubleback.rl.policy.stored.weights import instead, tensor_names

ADAPTER_WEIGHTS, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
"""PEFT's names of the files with an adapter's tensors and settings."""


def require_plain_adapter(folder: Path) -> None:
    """ConfigError unless the folder is a LoRA adapter in PEFT's layout, as safetensors, that needs no other code."""
    weights, named = folder / ADAPTER_WEIGHTS, f"the adapter in {folder}"
    if not weights.is_file():
        raise ConfigError(f"{named} has no {ADAPTER_WEIGHTS}{instead(folder)}")
    tensor_names(weights, named)
    settings = read_record(folder / ADAPTER_CONFIG)
    if settings.get("peft_type") != "LORA":
        raise ConfigError(f"{named} has peft_type={shortened(settings.get('peft_type'))}; LORA alone is loaded")
    if settings.get("megatron_config") or settings.get("megatron_core") not in (None, "megatron.core"):
        raise ConfigError(f"{named} names a module to import (megatron_core), which is never done")
