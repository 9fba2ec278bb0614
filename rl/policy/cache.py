"""What the keys and values of a model's attention take in an engine, by the model's configuration."""

from math import ceil

from transformers import PretrainedConfig

FEWEST_MIB = 256
"""What a cache is given however small the model is."""
BLOCK = 32
"""Tokens of a block in which vLLM hands out its cache on a CPU; a completion fills its last one in part."""


def head_width(config: PretrainedConfig) -> int:
    """Numbers in the key of an attention head, which a configuration that does not say so shares out evenly."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def token_bytes(config: PretrainedConfig, width: int) -> int:
    """Bytes that a token's keys and values take, at `width` bytes a number.

    For example two layers with two key-value heads of 32, in float32: 2 * (2 * 2 * 32) * 4 = 1,024.
    """
    if latent := getattr(config, "kv_lora_rank", None):  # multi-head latent attention keeps one vector for both
        numbers = int(latent) + int(config.qk_rope_head_dim)
    else:
        heads = int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
        numbers = 2 * heads * head_width(config)
    return int(config.num_hidden_layers) * numbers * width


def cache_mib(config: PretrainedConfig, width: int, num_sequences: int, max_length: int) -> int:
    """MiB that so many sequences of at most `max_length` tokens can fill, with a block to spare."""
    num_blocks = num_sequences * ceil(max_length / BLOCK) + 1
    return ceil(num_blocks * BLOCK * token_bytes(config, width) / (1 << 20))
