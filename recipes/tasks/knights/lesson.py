"""What a base for knights and knaves is taught."""

from torch import Tensor

from doubleback.recipes.pretrain.lesson import Lesson
from doubleback.recipes.tasks.knights.pretrain_config import KnightsPretrainConfig
from doubleback.recipes.tasks.knights.problems import problems
from doubleback.recipes.tasks.knights.task import MEASURES
from doubleback.recipes.tasks.knights.traces import search
from doubleback.recipes.tasks.knights.words import VOCABULARY


def _leave(_: Tensor) -> None:
    """No word of this task is more than a word."""


def knights_lesson(config: KnightsPretrainConfig) -> Lesson:
    """Problems of as many people as the settings say, and their searches."""
    return Lesson(
        task="knights",
        vocabulary=VOCABULARY,
        problems=lambda split: [problem for number in config.people for problem in problems(number, split)],
        search=search,
        measures=MEASURES,
        prepare_embeddings_=_leave,
        title="A tiny mixture of experts that tells knights from knaves",
        does="`A: B-lies , B: A B alike ?` it assumes, derives and checks, and answers who is what",
        size=f"{' or '.join(map(str, config.people))} people",
        replay="doubleback.eval.measures.deduction",
    )
