"""What a Countdown base is taught."""

from doubleback.recipes.pretrain.lesson import Lesson
from doubleback.recipes.tasks.countdown.embeddings import embed_numbers_
from doubleback.recipes.tasks.countdown.pretrain_config import CountdownPretrainConfig
from doubleback.recipes.tasks.countdown.task import MEASURES
from doubleback.recipes.tasks.countdown.tokenizer import VOCABULARY
from doubleback.recipes.tasks.countdown.traces import search
from doubleback.rewards.builtin.countdown import Split, problems


def countdown_lesson(config: CountdownPretrainConfig) -> Lesson:
    """Problems of the size that the settings give, and their searches."""
    kind = "mixture of experts" if config.model.dense_size is None else "dense model"
    return Lesson(
        task="countdown",
        vocabulary=VOCABULARY,
        problems=lambda split: problems(config.num_numbers, Split(split)),
        search=search,
        measures=MEASURES,
        prepare_embeddings_=embed_numbers_,
        title=f"A tiny {kind} that plays Countdown",
        does="`9 7 12 -> 28` it thinks in operations and answers with an expression",
        size=f"{config.num_numbers} numbers",
        replay="doubleback.eval.measures.backtracking",
    )
