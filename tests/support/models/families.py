"""A tiny random model of every family, as files with the countdown tokenizer."""

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from doubleback.recipes.tasks.countdown.tokenizer import BOS, EOS, PAD, VOCABULARY, make_tokenizer
from doubleback.rl.policy.tiny import shrink

MAX_LENGTH = 256


def make_family_model(name, folder, seed=0, **changes):
    """Write the model into `folder`; returns it."""
    config = shrink(CONFIG_MAPPING[name](), len(VOCABULARY), MAX_LENGTH)
    for key, word in (("pad_token_id", PAD), ("bos_token_id", BOS), ("eos_token_id", EOS)):
        setattr(config, key, VOCABULARY.index(word))
    for key, value in changes.items():
        setattr(config, key, value)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith("bias") or "sinks" in parameter_name:  # 0 at birth: a mistake would not show
                torch.nn.init.normal_(parameter, std=0.2)
        model.save_pretrained(folder)
    make_tokenizer(MAX_LENGTH).save_pretrained(folder)
    return folder
