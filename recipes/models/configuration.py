"""What published models look like, for estimates and tiny models without the hub. Never for training.

Each file holds the keys of a model's config.json that give it its shape, and the hub ids of those that have it, a base
and what was made of it.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING, PretrainedConfig

from doubleback.rl.policy.base import load_configuration

FOLDER = Path(__file__).parent / "architectures"


def configuration(path: str) -> PretrainedConfig:
    """The configuration that is described here, or that of any other hub id or folder. ConfigError if none."""
    if (described := described_configuration(path)) is not None:
        return described
    return load_configuration(path)


def described_configuration(path: str) -> PretrainedConfig | None:
    """The configuration of a hub id that is described here; None for any other."""
    if path not in _shapes():
        return None
    keys = {key: value for key, value in _shapes()[path].items() if key not in ("models", "model_type")}
    return CONFIG_MAPPING[_shapes()[path]["model_type"]](**keys)


def described_models() -> list[str]:
    """The hub ids that are described."""
    return sorted(_shapes())


@cache
def _shapes() -> dict[str, dict[str, Any]]:
    """Hub id -> the keys of its shape."""
    read = [json.loads(file.read_text(encoding="utf-8")) for file in FOLDER.glob("*.json")]
    return {path: keys for keys in read for path in keys["models"]}
