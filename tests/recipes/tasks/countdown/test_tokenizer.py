"""The tokenizer knows 118 words, loses nothing that a trace says, and refuses the rest."""

import random

import pytest
from transformers import AutoTokenizer

from doubleback.recipes.pretrain.traces import TraceType
from doubleback.recipes.tasks.countdown.tokenizer import FIRST_NUMBER_ID, VOCABULARY, make_tokenizer
from doubleback.recipes.tasks.countdown.traces import make_trace
from doubleback.rewards.builtin.countdown import Split, problems


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """As others load it: from its files."""
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer(512).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def test_vocabulary_is_118_words(tokenizer):
    assert len(tokenizer) == tokenizer.vocab_size == len(set(VOCABULARY)) == 118
    assert tokenizer.convert_ids_to_tokens(list(range(118))) == list(VOCABULARY)
    assert tokenizer.convert_ids_to_tokens([FIRST_NUMBER_ID, FIRST_NUMBER_ID + 99]) == ["0", "99"]
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert tokenizer.is_fast
    assert tokenizer.chat_template is None
    assert tokenizer.unk_token is None


def test_prompt_starts_with_bos_and_does_not_end(tokenizer):
    ids = tokenizer("9 7 12 -> 28").input_ids
    assert ids == [1, *(FIRST_NUMBER_ID + n for n in (9, 7, 12)), VOCABULARY.index("->"), FIRST_NUMBER_ID + 28]


@pytest.mark.parametrize("num_numbers", [3, 4])
def test_every_trace_comes_back_word_for_word(tokenizer, num_numbers):
    rng = random.Random(0)
    for problem in problems(num_numbers, Split.VALIDATION)[:200]:
        for kind in TraceType:
            trace = make_trace(problem, kind, rng)
            ids = tokenizer(trace, add_special_tokens=False).input_ids
            assert len(ids) == len(trace.split())
            # Tags are words: they survive where special tokens are dropped.
            assert tokenizer.decode([*ids, tokenizer.eos_token_id], skip_special_tokens=True) == trace


def test_spaces_come_out_single(tokenizer):
    ids = tokenizer("  ( 7 +\n12 )  ", add_special_tokens=False).input_ids
    assert tokenizer.decode(ids) == "( 7 + 12 )"


@pytest.mark.parametrize("text", ["100", "7 / 3", "hello", "(7 + 12)"])
def test_a_word_outside_the_vocabulary_is_an_error_not_an_unknown_token(tokenizer, text):
    with pytest.raises(Exception, match="Missing \\[UNK\\]"):
        tokenizer(text)
