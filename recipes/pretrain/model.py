"""The model that a base is before training: a tiny Qwen3-MoE, or a dense Qwen3, in float32."""

from typing import Any

import torch
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

from doubleback.recipes.pretrain.config import PretrainConfig
from doubleback.recipes.pretrain.lesson import Lesson
from doubleback.recipes.pretrain.words import BOS, EOS, PAD

INITIAL_STD = 0.05
"""Standard deviation of the weights. transformers' 0.02 takes about twice the steps at this width."""


def make_model(config: PretrainConfig, lesson: Lesson) -> PreTrainedModel:
    """The model before training, in float32; its weights depend on the seed alone."""
    torch.manual_seed(config.seed)
    shape = config.model
    if shape.dense_size is None:
        model: PreTrainedModel = Qwen3MoeForCausalLM(
            Qwen3MoeConfig(
                **_both(config, lesson),
                intermediate_size=shape.expert_size,
                moe_intermediate_size=shape.expert_size,
                num_experts=shape.num_experts,
                num_experts_per_tok=shape.num_experts_per_token,
                norm_topk_prob=True,
                router_aux_loss_coef=config.balance_coefficient,
            )
        )
    else:
        model = Qwen3ForCausalLM(Qwen3Config(**_both(config, lesson), intermediate_size=shape.dense_size))
    lesson.prepare_embeddings_(model.get_input_embeddings().weight)
    match_keys_to_queries_(model)
    return model


def _both(config: PretrainConfig, lesson: Lesson) -> dict[str, Any]:
    """What is said of a dense model and of a mixture alike."""
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
