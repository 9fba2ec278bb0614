"""The models that the benchmarks against TRL run: the bundled one, and random ones of two sizes."""

from pathlib import Path
from random import Random

from support.models.families import make_family_model

from doubleback.recipes.models.bundled import bundled_path

SHAPE = {"num_hidden_layers": 6, "num_experts": 16, "num_attention_heads": 8, "num_key_value_heads": 4}
TEN = SHAPE | {"hidden_size": 256, "moe_intermediate_size": 128, "head_dim": 32}
SIZES = {
    "learned": {},
    "10M": TEN,
    "50M": SHAPE | {"hidden_size": 512, "moe_intermediate_size": 320, "head_dim": 64},
    "10M, 32k words": TEN | {"vocab_size": 32768},
}
"""Name -> configuration; 118 words unless it says more. `learned` is the bundled model."""
NUM_GROUPS = {"learned": 8, "10M": 4, "50M": 4, "10M, 32k words": 4}
"""Problems of one step, so that TRL's takes seconds."""
PLAIN = {"max_position_embeddings": 512, "initializer_range": 0.02}
"""Weights of the usual size: nearly uniform, so that completions end at random, after about 118 tokens."""


def make_model(size: str, folder: Path) -> str:
    """The model's folder, written below `folder` unless it is bundled."""
    if size == "learned":
        return bundled_path("bundled:countdown")
    return str(
        make_family_model("qwen3_moe", folder / size.replace(", ", "-").replace(" ", "-"), **PLAIN, **SIZES[size])
    )


def vocabulary(size: str) -> int:
    """Number of token ids."""
    return int(SIZES[size].get("vocab_size", 118))


def prompt_length(rng: Random) -> int:
    """Tokens of a prompt, as they are in GSM8K."""
    return int(min(190, rng.lognormvariate(4.5, 0.4)))
