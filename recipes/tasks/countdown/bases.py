"""The base models that come with doubleback, and the settings that made each."""

from collections.abc import Sequence

from doubleback.recipes.tasks.countdown.pretrain_config import PretrainConfig
from doubleback.recipes.tasks.countdown.traces import TraceType
from doubleback.rewards.settings import override, validated
from doubleback.rewards.types import ConfigError

BASES: dict[str, tuple[str, PretrainConfig]] = {
    "countdown": ("tiny Qwen3-MoE that searches a little and doubles back now and then", PretrainConfig()),
    "countdown-optimal": (
        "the same, pre-trained on right paths alone: it never saw a search",
        PretrainConfig(mix={TraceType.OPTIMAL: 1.0}),
    ),
}
"""Name -> (one line, settings). `doubleback pretrain NAME` makes it again."""


def base_config(name: str, overrides: Sequence[str]) -> PretrainConfig:
    """The settings of a bundled base, with `key.path=value` overrides. ConfigError for unknown names and keys."""
    if name not in BASES:
        raise ConfigError(f"base {name!r} is not known; choose from {', '.join(BASES)}")
    return validated(PretrainConfig, override(BASES[name][1].model_dump(mode="json"), overrides, PretrainConfig))
