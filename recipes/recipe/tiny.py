"""`tiny: true`: the recipe's base replaced by a random one of the same architecture, so that a recipe can be tried
anywhere in seconds. It learns nothing; it runs everything: rewards, engine, adapter, sync, receipts, checkpoints.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from doubleback.recipes.models.configuration import configuration, described_configuration
from doubleback.rewards.types import ConfigError
from doubleback.rl.policy.base import load_tokenizer
from doubleback.rl.policy.tiny import write_tiny
from doubleback.rl.types import ModelSource

VOCABULARY = 600
END, PAD = "<|end|>", "<|pad|>"


def make_tiny(model: ModelSource, texts: Sequence[str], seed: int, folder: Path) -> ModelSource:
    """Write the tiny model in the place of `model` into `folder` unless it is there, and return where it is.

    What is described here (`recipes.models.configuration`) asks no hub: its tokenizer is the model's own where that
    lies in the hub's cache, else one trained on `texts`. In float32: a CPU's bfloat16 would send tokens to other
    experts in engine and trainer.
    """
    if not (folder / "config.json").is_file():
        config = configuration(model.path)  # first: where the hub is needed and does not answer, it is asked once
        try:
            tokenizer = load_tokenizer(model.path, asks_hub=described_configuration(model.path) is None)
        except ConfigError:
            tokenizer = train_tokenizer(texts, model.max_length)
        tokenizer.save_pretrained(folder)
        write_tiny(config, tokenizer, model.max_length, seed, folder)
    return replace(model, path=str(folder), dtype="float32", head_dtype="float32")


def train_tokenizer(
    texts: Sequence[str], max_length: int, vocabulary: int = VOCABULARY, special: Sequence[str] = (PAD, END)
) -> PreTrainedTokenizerBase:
    """A byte-level BPE of these texts. The first special token pads, the last ends a sequence."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer: PreTrainedTokenizerBase = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token=special[-1], pad_token=special[0], model_max_length=max_length
    )
    return tokenizer
