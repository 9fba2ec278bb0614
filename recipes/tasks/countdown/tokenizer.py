"""Countdown's word-level tokenizer: 118 words, one token each, nothing outside them.

There is no unknown token: a word outside the vocabulary is an error at once, where a silent `<unk>` would become a
prompt that no policy was trained on. Tags are ordinary words, so that decoding keeps them when it drops special tokens.
"""

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS = "<pad>", "<bos>", "<eos>"
HIGHEST_WORD = 99
"""Numbers 0..99 are words. Problems stay in 1..50; the rest lets a policy write what it should not, and be wrong."""
VOCABULARY: tuple[str, ...] = (
    *(PAD, BOS, EOS),
    *("<think>", "</think>", "<answer>", "</answer>", "->"),
    *("+", "-", "*", "=", ":", "(", ")"),
    *("no", "yes", "back"),
    *(str(number) for number in range(HIGHEST_WORD + 1)),
)
"""118 words; a word's id is its position."""
FIRST_NUMBER_ID = VOCABULARY.index("0")
"""The id of 0; number n has id FIRST_NUMBER_ID + n."""


def make_tokenizer(model_max_length: int) -> PreTrainedTokenizerFast:
    """A fast tokenizer that puts `<bos>` before a text and decodes to words with single spaces; no chat template.

    `save_pretrained` writes the files that `AutoTokenizer.from_pretrained` and vLLM load. The end-of-sequence token is
    not added: a completion ends with one, a prompt does not.
    """
    ids = {word: i for i, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(WordLevel(ids))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, ids[BOS])])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=model_max_length,
        clean_up_tokenization_spaces=False,
    )
