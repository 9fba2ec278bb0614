"""What published models look like, for estimates and tiny models without the hub. Never for training.

Each file holds the keys of a model's config.json that give it its shape.
"""

import json
from pathlib import Path

from transformers import CONFIG_MAPPING, AutoConfig, PretrainedConfig

from doubleback.rewards.types import ConfigError, first_line

FOLDER = Path(__file__).parent / "architectures"


def configuration(path: str) -> PretrainedConfig:
    """The configuration that is described here, or that of any other hub id or folder. ConfigError if none."""
    if (described := described_configuration(path)) is not None:
        return described
    try:
        return AutoConfig.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"model.path={path}: its configuration cannot be loaded: {first_line(error)}") from error


def described_configuration(path: str) -> PretrainedConfig | None:
    """The configuration of a hub id that is described here; None for any other."""
    file = FOLDER / f"{path.rpartition('/')[2].lower()}.json"
    if not file.is_file():
        return None
    keys = json.loads(file.read_text(encoding="utf-8"))
    if keys.pop("_name_or_path") != path:
        return None
    return CONFIG_MAPPING[keys.pop("model_type")](**keys)


def described_models() -> list[str]:
    """The hub ids that are described."""
    return sorted(json.loads(file.read_text(encoding="utf-8"))["_name_or_path"] for file in FOLDER.glob("*.json"))
