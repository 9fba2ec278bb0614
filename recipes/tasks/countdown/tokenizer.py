"""Countdown's word-level tokenizer: 118 words, one token each, nothing outside them."""

from transformers import PreTrainedTokenizerFast

from doubleback.recipes.pretrain.tokenizer import word_tokenizer
from doubleback.recipes.pretrain.words import BOS as BOS
from doubleback.recipes.pretrain.words import EOS as EOS
from doubleback.recipes.pretrain.words import FIRST_WORDS
from doubleback.recipes.pretrain.words import PAD as PAD

HIGHEST_WORD = 99
"""Numbers 0..99 are words. Problems stay in 1..50; the rest lets a policy write what it should not, and be wrong."""
VOCABULARY: tuple[str, ...] = (
    *FIRST_WORDS,
    *("->", "+", "-", "*", "=", ":", "(", ")"),
    *("no", "yes", "back"),
    *(str(number) for number in range(HIGHEST_WORD + 1)),
)
"""118 words; a word's id is its position."""
FIRST_NUMBER_ID = VOCABULARY.index("0")
"""The id of 0; number n has id FIRST_NUMBER_ID + n."""


def make_tokenizer(model_max_length: int) -> PreTrainedTokenizerFast:
    """The tokenizer of these words: `recipes.pretrain.tokenizer.word_tokenizer`."""
    return word_tokenizer(VOCABULARY, model_max_length)
