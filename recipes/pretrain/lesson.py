"""What a base is taught: the values that a task gives to the pre-training that all share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor
from transformers import PreTrainedTokenizerFast

from doubleback.eval.measures.measure import Measure
from doubleback.recipes.pretrain.config import PretrainConfig
from doubleback.recipes.pretrain.tokenizer import word_tokenizer
from doubleback.recipes.pretrain.traces import Search
from doubleback.rewards.types import Problem


@dataclass(frozen=True, slots=True)
class Lesson:
    """Words, problems and searches of one task, and what its bases' cards say of them."""

    task: str
    """Its name, which its reward bears too."""
    vocabulary: Sequence[str]
    """Every word of prompts and traces; a word's id is its position. Begins with `words.FIRST_WORDS`."""
    problems: Callable[[str], Sequence[Problem]]
    """Split -> its problems; "pretrain" is one that no task hands out."""
    search: Search
    """What traces are made of."""
    measures: Mapping[str, Measure]
    """Of the task: the card states them."""
    prepare_embeddings_: Callable[[Tensor], None]
    """Changes the first embeddings, one row a word, in place; may do nothing."""
    title: str
    """Of the card."""
    does: str
    """What the base does with a prompt, as a half sentence of the card."""
    size: str
    """Which problems, as the card says it: "3 numbers"."""
    replay: str
    """The module that replays a completion."""

    def tokenizer(self, config: PretrainConfig) -> PreTrainedTokenizerFast:
        """The tokenizer of these words, for the longest text of the settings."""
        return word_tokenizer(self.vocabulary, config.model.max_positions)
