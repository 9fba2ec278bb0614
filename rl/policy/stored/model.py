"""The folder of a model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from doubleback.rewards.regular import file_text
from doubleback.rewards.types import ConfigError, shortened
from doubleback.rl.policy.stored.adapter import ADAPTER_CONFIG
from doubleback.rl.policy.stored.weights import instead, tensor_names

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def require_plain_model(folder: Path, config: Any) -> None:
    """ConfigError where the folder has no safetensors, names other files in their place, is an adapter's, or has fewer
    tensors than its configuration has layers: who builds what config.json promises would be at it for ever.
    """
    if (folder / ADAPTER_CONFIG).exists():
        raise ConfigError(
            f"model.path={folder} holds {ADAPTER_CONFIG}: it is an adapter's folder, or names another base; give the "
            "base as model.path and the adapter as --adapter or lora.init"
        )
    files = _files(folder)
    num_tensors = sum(len(tensor_names(path, f"model.path={folder}")) for path in files)
    num_layers = getattr(config, "num_hidden_layers", None)
    if num_layers is not None and not (isinstance(num_layers, int) and 0 < num_layers <= num_tensors):
        raise ConfigError(
            f"model.path={folder}: config.json has num_hidden_layers={shortened(num_layers)}, and there are "
            f"{num_tensors} tensors; they are not of one model"
        )


def _files(folder: Path) -> list[Path]:
    """The files of weights. ConfigError where there are none, or an index names something else."""
    if not (folder / INDEX).is_file():
        if not (folder / WEIGHTS).is_file():
            raise ConfigError(f"model.path={folder} has no {WEIGHTS}{instead(folder)}")
        return [folder / WEIGHTS]
    try:
        shards = json.loads(file_text(folder / INDEX))["weight_map"]
        names: list[Any] = sorted(set(shards.values())) if isinstance(shards, Mapping) else [None]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"model.path={folder}: {INDEX} cannot be read: {type(error).__name__}") from error
    for name in names:
        is_plain = isinstance(name, str) and name == Path(name).name and name.endswith(".safetensors")
        if not is_plain or not (folder / name).is_file():
            raise ConfigError(
                f"model.path={folder}: {INDEX} names {shortened(name)}, which is no safetensors file there"
            )
    return [folder / name for name in names]
