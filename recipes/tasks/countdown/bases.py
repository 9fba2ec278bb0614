"""The base models of Countdown that come with doubleback, and the settings that made each."""

from pathlib import Path

from doubleback.recipes.pretrain.traces import TraceType
from doubleback.recipes.tasks.countdown.pretrain_config import CountdownPretrainConfig
from doubleback.recipes.tasks.pretraining import Pretraining


def _run(config: CountdownPretrainConfig, folder: Path) -> None:
    # With torch, which a look at the table does not need.
    from doubleback.recipes.pretrain.base import pretrain
    from doubleback.recipes.tasks.countdown.lesson import countdown_lesson

    pretrain(config, countdown_lesson(config), folder)


BASES = {
    "countdown": Pretraining(
        "tiny Qwen3-MoE that searches a little and doubles back now and then", CountdownPretrainConfig(), _run
    ),
    "countdown-optimal": Pretraining(
        "the same, pre-trained on right paths alone: it never saw a search",
        CountdownPretrainConfig(mix={TraceType.OPTIMAL: 1.0}),
        _run,
    ),
}
"""Name -> how it is made; `doubleback pretrain NAME` makes it again."""
