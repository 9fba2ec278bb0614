"""A random MoE that reads English: a byte-level BPE of its own, with the tokens and template of a stand-in or not."""


def make_text_model(folder, texts, stand_in=None, vocabulary=1000, max_length=4096, **sizes):
    """Write the model and the tokenizer, trained on `texts`, into `folder`; returns it."""
    import torch
    from transformers import GenerationConfig, Qwen3MoeConfig, Qwen3MoeForCausalLM

    from doubleback.recipes.models.tokenizers import PLAIN, shipped_tokenizers, train_tokenizer

    config = shipped_tokenizers()[stand_in] if stand_in else PLAIN
    tokenizer = train_tokenizer(texts, max_length, config, vocabulary)
    tokenizer.save_pretrained(folder)
    settings = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "intermediate_size": 64,
        "norm_topk_prob": True,
        "tie_word_embeddings": True,
        "max_position_embeddings": max_length,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Qwen3MoeForCausalLM(Qwen3MoeConfig(**settings | sizes))
    model.save_pretrained(folder)
    GenerationConfig(eos_token_id=tokenizer.convert_tokens_to_ids(config.ends)).save_pretrained(folder)
    return folder
