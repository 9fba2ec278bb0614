"""Tiny tokenizers that behave as published ones: control tokens, ends, BOS and a chat template of the same shape.

They stand in for a model's own where that is not at hand (`tiny: true`), and in tests. The templates are in our own
words: what they write differs from the published ones, how they behave does not.
"""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from doubleback.rewards.settings import Section, load_section, shipped

FOLDER = Path(__file__).parent / "tokenizers"
VOCABULARY = 600


class TokenizerConfig(Section):
    """A YAML file of `recipes/models/tokenizers`."""

    description: str
    models: list[str]
    """Hub ids that it stands in for."""
    special: list[str]
    """Control tokens."""
    plain: list[str] = []  # noqa: RUF012  (frozen, validated, never shared)
    """Tokens of the vocabulary that are text."""
    pad: str
    bos: str | None = None
    adds_bos: bool = False
    """Whether encoding puts the BOS before a text."""
    ends: list[str]
    """Tokens that end a completion; the first is the tokenizer's own, generation_config.json names all."""
    chat_template: str | None = None


PLAIN = TokenizerConfig(
    description="no chat template", models=[], special=["<|pad|>", "<|end|>"], pad="<|pad|>", ends=["<|end|>"]
)
"""For a base model."""


def shipped_tokenizers() -> dict[str, TokenizerConfig]:
    """Those that come with doubleback, by name."""
    return {name: load_section(name, FOLDER, TokenizerConfig, "tokenizer") for name in shipped(FOLDER)}


def tokenizer_for(model: str, is_chat: bool) -> TokenizerConfig:
    """The one that stands in for a model's own: of its shape where it is known, else ChatML for a chat recipe."""
    known = shipped_tokenizers()
    of_model = next((config for config in known.values() if model in config.models), None)
    return of_model or (known["chatml"] if is_chat else PLAIN)


def train_tokenizer(
    texts: Sequence[str], max_length: int, config: TokenizerConfig = PLAIN, vocabulary: int = VOCABULARY
) -> PreTrainedTokenizerBase:
    """A byte-level BPE of these texts, with the tokens and the template of `config`."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=config.special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.add_tokens([AddedToken(token, normalized=False) for token in config.plain])
    if config.bos is not None and config.adds_bos:
        bos = (config.bos, bpe.token_to_id(config.bos))
        bpe.post_processor = processors.TemplateProcessing(single=f"{config.bos} $A", special_tokens=[bos])
    tokenizer: PreTrainedTokenizerBase = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=config.bos,
        eos_token=config.ends[0],
        pad_token=config.pad,
        model_max_length=max_length,
    )
    tokenizer.chat_template = config.chat_template
    return tokenizer
