"""Word-level tokenizers: a few words, one token each, nothing outside them.

There is no unknown token: a word outside the vocabulary is an error at once, where a silent `<unk>` would become a
prompt that no policy was trained on. Tags are ordinary words, so that decoding keeps them when it drops special tokens.
"""

from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from doubleback.recipes.pretrain.words import BOS, EOS, PAD


def word_tokenizer(vocabulary: Sequence[str], model_max_length: int) -> PreTrainedTokenizerFast:
    """A fast tokenizer that puts `<bos>` before a text and decodes to words with single spaces; no chat template.

    A word's id is its position. `save_pretrained` writes the files that `AutoTokenizer.from_pretrained` and vLLM load.
    The end-of-sequence token is not added: a completion ends with one, a prompt does not.
    """
    ids = {word: i for i, word in enumerate(vocabulary)}
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
