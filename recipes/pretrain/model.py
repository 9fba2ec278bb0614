"""The model that a base is before training: a tiny mixture of experts, or a dense Qwen3, in float32."""

from typing import Any

import torch
from transformers import (
    Glm4MoeConfig,
    Glm4MoeForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from doubleback.recipes.pretrain.config import PretrainConfig
from doubleback.recipes.pretrain.lesson import Lesson
from doubleback.recipes.pretrain.words import BOS, EOS, PAD

INITIAL_STD = 0.05
"""Standard deviation of the weights. transformers' 0.02 takes about twice the steps at this width."""


def make_model(config: PretrainConfig, lesson: Lesson) -> PreTrainedModel:
    """The model before training, in float32; its weights depend on the seed alone."""
    torch.manual_seed(config.seed)
    if config.model.dense_size is not None:
        model = _dense(config, lesson)
    else:
        model = _qwen3(config, lesson) if config.model.architecture == "qwen3_moe" else _glm4(config, lesson)
    lesson.prepare_embeddings_(model.get_input_embeddings().weight)
    match_keys_to_queries_(model)
    return model


def _dense(config: PretrainConfig, lesson: Lesson) -> PreTrainedModel:
    return Qwen3ForCausalLM(Qwen3Config(**_shared(config, lesson), intermediate_size=config.model.dense_size))


def _qwen3(config: PretrainConfig, lesson: Lesson) -> PreTrainedModel:
    return Qwen3MoeForCausalLM(
        Qwen3MoeConfig(
            **_shared(config, lesson),
            **_mixture(config),
            num_experts=config.model.num_experts,
            router_aux_loss_coef=config.balance_coefficient,
        )
    )


def _glm4(config: PretrainConfig, lesson: Lesson) -> PreTrainedModel:
    """GLM-4.5's architecture with Qwen3-MoE's attention: norms of queries and keys, all of a head rotated."""
    shared = _shared(config, lesson)
    shared["rope_parameters"] = {**shared["rope_parameters"], "partial_rotary_factor": 1.0}
    return Glm4MoeForCausalLM(
        Glm4MoeConfig(
            **shared,
            **_mixture(config),
            n_routed_experts=config.model.num_experts,
            n_shared_experts=1,
            first_k_dense_replace=0,
            use_qk_norm=True,
            num_mtp_layers=0,
            rms_norm_eps=1e-6,
        )
    )


def _mixture(config: PretrainConfig) -> dict[str, Any]:
    """What both mixtures of experts call by the same names."""
    return {
        "intermediate_size": config.model.expert_size,
        "moe_intermediate_size": config.model.expert_size,
        "num_experts_per_tok": config.model.num_experts_per_token,
        "norm_topk_prob": True,
    }


def _shared(config: PretrainConfig, lesson: Lesson) -> dict[str, Any]:
    """What every architecture calls by the same names."""
    shape, words = config.model, lesson.vocabulary
    return {
        "vocab_size": len(words),
        "hidden_size": shape.hidden_size,
        "num_hidden_layers": shape.num_layers,
        "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.num_key_value_heads,
        "head_dim": shape.head_dim,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "max_position_embeddings": shape.max_positions,
        "initializer_range": INITIAL_STD,
        "bos_token_id": words.index(BOS),
        "eos_token_id": words.index(EOS),
        "pad_token_id": words.index(PAD),
    }


def untied(model: PreTrainedModel) -> PreTrainedModel:
    """The model, in place, with a head of its own where vLLM, unlike transformers, looks for no other: in GLM-4-MoE.

    The head of a checkpoint without one would be 0 there, and every word as likely as any other.
    """
    if model.config.model_type == "glm4_moe":
        model.config.tie_word_embeddings = False
        head = model.get_output_embeddings()
        head.weight = torch.nn.Parameter(head.weight.detach().clone())
    return model


@torch.no_grad()
def match_keys_to_queries_(model: PreTrainedModel) -> None:
    """Copy the first query head of each group into its key head, in place: attention starts out as similarity.

    So every token looks at its equals from the start (after arXiv:2305.09828), and comparing a result with the target,
    on which `no` and `yes` depend, is learned within some hundred steps. From random keys it took 1,800 steps, or for
    some seeds more than there are.
    """
    heads, groups, width = (
        model.config.num_attention_heads,
        model.config.num_key_value_heads,
        model.config.head_dim,
    )
    for layer in model.model.layers:
        queries = layer.self_attn.q_proj.weight.view(groups, heads // groups, width, -1)
        layer.self_attn.k_proj.weight.copy_(queries[:, 0].flatten(0, 1))
