"""Plain sampling with transformers: how a base is scored before any engine exists.

Shapes: B sequences, T prompt tokens, V vocabulary.
"""

from collections.abc import Sequence

import torch
from transformers import DynamicCache, PreTrainedTokenizerFast, Qwen3MoeForCausalLM

from doubleback.rewards.types import Problem

SEQUENCES_PER_BATCH = 512


@torch.inference_mode()
def sample_ids(
    model: Qwen3MoeForCausalLM, prompts_BT: torch.Tensor, max_tokens: int, eos_id: int, generator: torch.Generator
) -> list[list[int]]:
    """One completion for each row at temperature 1, end-of-sequence included where it was sampled.

    Prompts have one length, so there is no padding. Finished rows leave the batch.
    """
    completions: list[list[int]] = [[] for _ in prompts_BT]
    active = torch.arange(len(prompts_BT))
    cache = DynamicCache(config=model.config)
    input_BT = prompts_BT
    for _ in range(max_tokens):
        logits_BV = model(input_ids=input_BT, past_key_values=cache, use_cache=True).logits[:, -1].float()
        next_B = torch.multinomial(logits_BV.softmax(-1), 1, generator=generator)[:, 0]
        for row, token in zip(active.tolist(), next_B.tolist(), strict=True):
            completions[row].append(token)
        going = (next_B != eos_id).nonzero()[:, 0]
        if not len(going):
            break
        if len(going) < len(active):
            cache.batch_select_indices(going)
        active, input_BT = active[going], next_B[going, None]
    return completions


def sample_completions(
    model: Qwen3MoeForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    problems: Sequence[Problem],
    num_samples: int,
    max_tokens: int,
    seed: int,
) -> list[list[list[int]]]:
    """`num_samples` completions, as token ids, of each problem; the problems must have prompts of one length."""
    generator = torch.Generator().manual_seed(seed)
    prompts_BT = torch.tensor(tokenizer([problem.prompt for problem in problems]).input_ids)
    prompts_BT = prompts_BT.repeat_interleave(num_samples, dim=0)
    completions = [
        completion
        for part_BT in torch.split(prompts_BT, SEQUENCES_PER_BATCH)
        for completion in sample_ids(model, part_BT, max_tokens, tokenizer.eos_token_id, generator)
    ]
    return [completions[i : i + num_samples] for i in range(0, len(completions), num_samples)]
