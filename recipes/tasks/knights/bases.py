"""The base models of knights and knaves that come with doubleback, and the settings that made each."""

from pathlib import Path

from doubleback.recipes.tasks.knights.pretrain_config import KnightsPretrainConfig
from doubleback.recipes.tasks.pretraining import Pretraining


def _run(config: KnightsPretrainConfig, folder: Path) -> None:
    # With torch, which a look at the table does not need.
    from doubleback.recipes.pretrain.base import pretrain
    from doubleback.recipes.tasks.knights.lesson import knights_lesson

    pretrain(config, knights_lesson(config), folder)


BASES = {
    "knights": Pretraining(
        "tiny Qwen3-MoE that tells knights from knaves now and then: it guesses, and searches a little",
        KnightsPretrainConfig(),
        _run,
    ),
}
"""Name -> how it is made; `doubleback pretrain NAME` makes it again."""
