"""A tiny model of the same architecture as another: a few hundred thousand random parameters, for tests and trials."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedTokenizerBase

from doubleback.rl.policy.families import family_of, num_experts

HIDDEN, INTERMEDIATE, LAYERS, EXPERTS, TOP_K, HEADS, KV_HEADS, HEAD_DIM = 64, 64, 2, 8, 2, 2, 1, 32
DROPPED = ("pad_token_id", "bos_token_id", "eos_token_id", "layer_types", "quantization_config", "sliding_window")
SPREAD = 6.0
"""Random weights of the usual size give a nearly uniform policy and an undecided router; these do not."""


def shrink(config: PretrainedConfig, vocabulary: int, max_length: int) -> PretrainedConfig:
    """A configuration of the same architecture in tiny. Multiples of 32: vLLM's CPU kernel for experts wants them."""
    sizes = {
        "vocab_size": vocabulary,
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "moe_intermediate_size": INTERMEDIATE // 2,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "num_experts_per_tok": TOP_K,
        "max_position_embeddings": max_length,
        "initializer_range": 0.02 * SPREAD,
        **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts"), EXPERTS),
    }
    own = config.to_dict()
    present = {key: value for key, value in sizes.items() if key in own}
    if num_experts(config) == 0:
        present = {key: value for key, value in present.items() if "experts" not in key}
    kept = {key: value for key, value in own.items() if key not in DROPPED}
    return type(config)(**{**kept, **present, **family_of(config).tiny, **family_of(config).fixups})


def write_tiny(
    config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase, max_length: int, seed: int, folder: Path
) -> None:
    """Random weights for the tiny configuration that goes with `tokenizer`, and both as files."""
    tiny = shrink(config, len(tokenizer), max_length)
    tiny.pad_token_id, tiny.bos_token_id, tiny.eos_token_id = (
        tokenizer.pad_token_id,
        tokenizer.bos_token_id,
        tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        AutoModelForCausalLM.from_config(tiny, dtype=torch.float32).save_pretrained(folder)
