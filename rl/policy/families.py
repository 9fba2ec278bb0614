"""What is particular to each model family. The only place that knows names; everything else reads this table.

transformers 5 holds the experts of every family here as fused parameters of a module `experts`, and chooses them in a
router module with a parameter `weight`. A family that is not in the table works where it keeps that convention and the
usual names of attention; `family` says so, and the preflight's parity check proves or refutes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from transformers import PretrainedConfig

from doubleback.rewards.types import ConfigError
from doubleback.rl.config import LoraSettings

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
LATENT_ATTENTION = ("q_proj", "q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
EXPERTS = ("experts.gate_up_proj", "experts.down_proj")
MIXTRAL_NAMES = {".mlp.": ".block_sparse_moe.", "gate_proj": "w1", "up_proj": "w3", "down_proj": "w2"}
ONE_GROUP = {"n_group": 1, "topk_group": 1, "n_shared_experts": 1, "first_k_dense_replace": 1}
DEEPSEEK_TINY = {
    "num_key_value_heads": 2,
    "q_lora_rank": None,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "head_dim": 64,
    "qk_nope_head_dim": 32,
    "v_head_dim": 32,
    **ONE_GROUP,
}
"""vLLM's latent attention on a CPU takes heads of kv_lora_rank + qk_rope_head_dim = 320, 512 or 576."""


@dataclass(frozen=True, slots=True)
class Family:
    """Names and limits of one architecture, as transformers calls them."""

    name: str
    """`model_type` of the configuration."""
    attention: tuple[str, ...] = ATTENTION
    """Linear modules of the attention."""
    experts: tuple[str, ...] = EXPERTS
    """Fused parameters of the routed experts, by the end of their names. () for a dense model."""
    mlp: tuple[str, ...] = MLP
    """Linear modules of dense feed-forward layers: shared experts, first layers, dense models."""
    router: str = "mlp.gate"
    """Name of the router module within a layer. "" for a dense model."""
    can_reload: bool = True
    """Whether vLLM's weight reload is exact; otherwise experts are written into vLLM's own parameters."""
    runtime_parts: frozenset[str] = frozenset({"attention", "experts", "mlp"})
    """Parts of an adapter that vLLM can serve at run time where its kernels exist (experts: CUDA alone)."""
    runtime_names: Mapping[str, str] = field(default_factory=dict)
    """Parts of the experts' names that are others where vLLM reads an adapter: what they are here -> there."""
    is_interleaved: bool = False
    """Whether rows of gate and up alternate in the fused experts, instead of one after the other."""
    fixups: Mapping[str, Any] = field(default_factory=dict)
    """Values of the configuration that vLLM needs and published configurations leave out."""
    dense: str = ""
    """`model_type` of the dense model with the same layers but for the experts, which `doubleback upcycle` takes."""
    tiny: Mapping[str, Any] = field(default_factory=dict)
    """What a tiny model must set beyond `rl.policy.tiny`."""


FAMILIES = {
    family.name: family
    for family in (
        Family("qwen3_moe", dense="qwen3"),
        Family("qwen2_moe", tiny={"shared_expert_intermediate_size": 64}),
        Family("olmoe"),
        Family("mixtral", dense="llama", runtime_names=MIXTRAL_NAMES),
        Family("glm4_moe", tiny={**ONE_GROUP, "head_dim": 32}),
        Family("deepseek_v2", LATENT_ATTENTION, runtime_parts=frozenset(), tiny=DEEPSEEK_TINY),
        Family(
            "deepseek_v3",
            LATENT_ATTENTION,
            runtime_parts=frozenset(),
            fixups={"topk_method": "noaux_tc", "scoring_func": "sigmoid"},
            tiny=DEEPSEEK_TINY,
        ),
        Family("granitemoe", router="block_sparse_moe.router"),
        Family(
            "granitemoeshared",
            mlp=("input_linear", "output_linear"),
            router="block_sparse_moe.router",
            tiny={"shared_intermediate_size": 64},
        ),
        Family(
            "granitemoehybrid",
            mlp=("input_linear", "output_linear"),
            router="block_sparse_moe.router",
            # vLLM 0.31 expects other names of its experts than those that it finds them by.
            runtime_parts=frozenset({"attention", "mlp"}),
            tiny={
                "shared_intermediate_size": 64,
                "layer_types": ["attention", "attention"],
                "position_embedding_type": "rope",
                "mamba_n_heads": 4,
                "mamba_d_head": 32,
                "mamba_expand": 2,
            },
        ),
        Family(
            "gpt_oss",
            router="mlp.router",
            can_reload=False,
            is_interleaved=True,
            runtime_parts=frozenset({"attention"}),
            tiny={"sliding_window": 16},
        ),
    )
}


def family_of(config: PretrainedConfig) -> Family:
    """The family of a model; for one that is not in the table, the usual names (see the head of this file).

    A family of MoE may have dense members, which have neither experts nor router (Granite 4.0 Micro).
    """
    family = FAMILIES.get(config.model_type, Family(config.model_type))
    return family if num_experts(config) > 0 else replace(family, experts=(), router="")


def num_experts(config: PretrainedConfig) -> int:
    """Routed experts per layer; 0 for a dense model."""
    for key in ("num_local_experts", "num_experts", "n_routed_experts"):
        value = getattr(config, key, None)
        if value:
            return int(value)
    return 0


def expert_rank(config: PretrainedConfig, settings: LoraSettings) -> int:
    """The rank of each expert's matrices: as it is set, or rank // the experts that a token is sent to, 1 at least.

    With rank 32 and 8 experts a token it is 4: the 8 have together the rank of a dense layer in their place ("LoRA
    Without Regret", Schulman et al., Thinking Machines Lab, 2025). ConfigError where a configuration does not say.
    """
    if settings.expert_rank is not None:
        return settings.expert_rank
    active = getattr(config, "num_experts_per_tok", None)
    if not active:
        raise ConfigError(
            f"lora.expert_rank=null: the configuration of this {config.model_type} model does not say how many experts "
            "a token is sent to (num_experts_per_tok); set lora.expert_rank"
        )
    return max(1, settings.rank // int(active))


def refuse_unsupported(config: PretrainedConfig, dtype: str, is_cuda: bool) -> None:
    """ConfigError for what is known to go wrong without saying so."""
    mamba = [kind for kind in getattr(config, "layer_types", None) or [] if kind in ("mamba", "linear_attention")]
    if mamba and not is_cuda:
        raise ConfigError(
            f"{config.model_type} with {len(mamba)} {mamba[0]} layers: vLLM computes them in bfloat16 alone on a CPU "
            f"(model.dtype={dtype}), and its weight reload corrupts them; use a CUDA device or a model without them"
        )
