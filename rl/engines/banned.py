"""Words that a policy may not say: from a word to the tokens that are it."""

from collections.abc import Container, Sequence

from transformers import PreTrainedTokenizerBase

from doubleback.rewards.types import ConfigError


def banned_ids(words: Sequence[str], tokenizer: PreTrainedTokenizerBase, ends: Container[int]) -> tuple[int, ...]:
    """Every token that reads as one of the words and nothing else, but for white space around it, in ascending order.

    A vocabulary of sub-words may have several ("back", " back"), and may still spell the word in pieces, which is not
    forbidden here: `eval.summarise` counts how often that was done. ConfigError for a word that no token is, and
    for a token of `ends`, without which no completion would end.
    """
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))], clean_up_tokenization_spaces=False)
    ids_of: dict[str, list[int]] = {}
    for token, text in enumerate(texts):
        ids_of.setdefault(text.strip(), []).append(token)
    found: set[int] = set()
    for word in words:
        ids = ids_of.get(word.strip(), []) if word.strip() else []
        if not ids:
            raise ConfigError(f"--ban {word!r} is no single token of the model's vocabulary; ban a word that is")
        if any(token in ends for token in ids):
            raise ConfigError(f"--ban {word!r} is the end of a completion, and none would end; ban another word")
        found.update(ids)
    return tuple(sorted(found))
