"""`tiny: true`: the recipe's base replaced by a random one of the same architecture, so that a recipe can be tried
anywhere in seconds. It learns nothing; it runs everything: rewards, engine, adapter, sync, receipts, checkpoints.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from transformers import GenerationConfig

from doubleback.recipes.models.configuration import configuration, described_configuration
from doubleback.recipes.models.tokenizers import tokenizer_for, train_tokenizer
from doubleback.rewards.types import ConfigError
from doubleback.rl.policy.base import load_tokenizer
from doubleback.rl.policy.tiny import write_tiny
from doubleback.rl.run.files import whole_folder
from doubleback.rl.types import ModelSource


def make_tiny(model: ModelSource, texts: Sequence[str], seed: int, folder: Path, is_chat: bool = False) -> ModelSource:
    """Write the tiny model in the place of `model` into `folder` unless it is there, and return where it is.

    What is described here (`recipes.models.configuration`) asks no hub: its tokenizer is the model's own where that
    lies in the hub's cache, else one of its shape (`recipes.models.tokenizers`) trained on `texts`; `is_chat`: it has a
    chat template in any case. In float32: a CPU's bfloat16 would send tokens to other experts in engine and trainer.
    """
    if not (folder / "config.json").is_file():
        config = configuration(model.path)  # first: where the hub is needed and does not answer, it is asked once
        ends: list[int] = []
        try:
            tokenizer = load_tokenizer(model.path, asks_hub=described_configuration(model.path) is None)
        except ConfigError:
            stand_in = tokenizer_for(model.path, is_chat)
            tokenizer = train_tokenizer(texts, model.max_length, stand_in)
            ends = list(map(tokenizer.convert_tokens_to_ids, stand_in.ends))
        with whole_folder(folder) as made:  # a run that was killed in between would find half a model
            tokenizer.save_pretrained(made)
            write_tiny(config, tokenizer, model.max_length, seed, made)
            if len(ends) > 1:
                GenerationConfig(eos_token_id=ends, pad_token_id=tokenizer.pad_token_id).save_pretrained(made)
    return replace(model, path=str(folder), dtype="float32", head_dtype="float32")
