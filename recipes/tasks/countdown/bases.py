"""The base models of Countdown that come with doubleback, and the settings that made each."""

from pathlib import Path

from doubleback.recipes.tasks.countdown.pretrain_config import PretrainConfig
from doubleback.recipes.tasks.countdown.traces import TraceType
from doubleback.recipes.tasks.pretraining import Pretraining


def _run(config: PretrainConfig, folder: Path) -> None:
    from doubleback.recipes.tasks.countdown.pretrain import pretrain  # torch, which a look at the table does not need

    pretrain(config, folder)


BASES = {
    "countdown": Pretraining(
        "tiny Qwen3-MoE that searches a little and doubles back now and then", PretrainConfig(), _run
    ),
    "countdown-optimal": Pretraining(
        "the same, pre-trained on right paths alone: it never saw a search",
        PretrainConfig(mix={TraceType.OPTIMAL: 1.0}),
        _run,
    ),
}
"""Name -> how it is made; `doubleback pretrain NAME` makes it again."""
