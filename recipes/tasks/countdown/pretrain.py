"""Pre-training of a Countdown base: a tiny Qwen3-MoE, from scratch, on synthetic traces.

Everything is float32; the result is rounded to bfloat16 and scored as rounded. Shapes: B traces, T tokens.
"""

import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3MoeConfig, Qwen3MoeForCausalLM

from doubleback.recipes.tasks.countdown.base_card import Cost, base_card, measure_base
from doubleback.recipes.tasks.countdown.pretrain_config import PretrainConfig
from doubleback.recipes.tasks.countdown.tokenizer import FIRST_NUMBER_ID, HIGHEST_WORD, VOCABULARY, make_tokenizer
from doubleback.recipes.tasks.countdown.traces import sample_trace
from doubleback.rewards.builtin.countdown import Split, problems
from doubleback.rewards.types import ConfigError, RunError
from doubleback.rl.run.files import whole_folder

BATCHES_PER_POOL = 16
"""Traces are sorted by length within a pool of about so many batches: little padding, and batches stay mixed."""
FOURIER_PERIODS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 20, 25, 33, 50, 100, 200)
"""Periods of the number embeddings. Trained models represent numbers so when they add (arXiv:2406.03445)."""
FOURIER_SCALE = 0.05
"""Amplitude of the number embeddings: that of every other weight."""
INITIAL_STD = 0.05
"""Standard deviation of the weights. transformers' 0.02 takes about twice the steps at this width."""
IGNORED = -100
"""The label of tokens without loss."""


def make_model(config: PretrainConfig) -> Qwen3MoeForCausalLM:
    """The model before training, in float32; its weights depend on the seed alone."""
    shape = config.model
    torch.manual_seed(config.seed)
    model = Qwen3MoeForCausalLM(
        Qwen3MoeConfig(
            vocab_size=len(VOCABULARY),
            hidden_size=shape.hidden_size,
            intermediate_size=shape.expert_size,
            moe_intermediate_size=shape.expert_size,
            num_hidden_layers=shape.num_layers,
            num_attention_heads=shape.num_heads,
            num_key_value_heads=shape.num_key_value_heads,
            head_dim=shape.head_dim,
            num_experts=shape.num_experts,
            num_experts_per_tok=shape.num_experts_per_token,
            norm_topk_prob=True,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
            max_position_embeddings=shape.max_positions,
            initializer_range=INITIAL_STD,
            router_aux_loss_coef=config.balance_coefficient,
            bos_token_id=VOCABULARY.index("<bos>"),
            eos_token_id=VOCABULARY.index("<eos>"),
            pad_token_id=VOCABULARY.index("<pad>"),
        )
    )
    embed_numbers_(model.get_input_embeddings().weight)
    match_keys_to_queries_(model)
    return model


@torch.no_grad()
def embed_numbers_(embeddings: Tensor) -> None:
    """Write cosines and sines of each number into the first columns of its row, in place (the head shares the rows)."""
    numbers = torch.arange(HIGHEST_WORD + 1, dtype=torch.float32)
    periods = torch.tensor(FOURIER_PERIODS[: embeddings.shape[1] // 2], dtype=torch.float32)
    angles = 2 * math.pi * numbers[:, None] / periods
    features = torch.cat([angles.cos(), angles.sin()], dim=1) * FOURIER_SCALE
    embeddings[FIRST_NUMBER_ID : FIRST_NUMBER_ID + len(numbers), : features.shape[1]] = features


@torch.no_grad()
def match_keys_to_queries_(model: Qwen3MoeForCausalLM) -> None:
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


def learning_rate(step: int, config: PretrainConfig) -> float:
    """The rate of a step counted from 1: linear warm-up, constant, linear decay to 0 after the last step."""
    rise = step / config.warmup_steps if config.warmup_steps else 1.0
    num_decay = config.decay_share * config.steps
    fall = (config.steps + 1 - step) / num_decay if num_decay else 1.0
    return config.lr * min(1.0, rise, fall)


def traces(config: PretrainConfig) -> Iterator[tuple[str, str]]:
    """Prompt and completion for ever: every pre-training problem once, in random order, then again with new traces."""
    problem_list = problems(config.num_numbers, Split.PRETRAIN)
    for draw in count():
        order = random.Random(f"{config.seed}:{draw}")
        for problem in order.sample(problem_list, len(problem_list)):
            yield problem.prompt, sample_trace(problem, config.seed, draw, config.mix, config.budget)


def batches(config: PretrainConfig, tokenizer: PreTrainedTokenizerFast) -> Iterator[tuple[Tensor, Tensor]]:
    """Token ids and labels, both BT and padded on the right, of at most `tokens_per_batch` elements."""
    shuffle = random.Random(config.seed).shuffle
    pool: list[tuple[list[int], int]] = []
    num_tokens = 0
    for prompt, completion in traces(config):
        prompt_ids = tokenizer(prompt).input_ids
        ids = [*prompt_ids, *tokenizer(completion, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
        pool.append((ids, len(prompt_ids)))
        num_tokens += len(ids)
        if num_tokens >= BATCHES_PER_POOL * config.tokens_per_batch:
            parts = cut_by_length(pool, config.tokens_per_batch)
            shuffle(parts)
            yield from (pad_batch(part, tokenizer.pad_token_id) for part in parts)
            pool, num_tokens = [], 0


def cut_by_length(pool: list[tuple[list[int], int]], num_tokens: int) -> list[list[tuple[list[int], int]]]:
    """The pool in parts of similar length, each at most `num_tokens` once padded to its longest."""
    parts: list[list[tuple[list[int], int]]] = [[]]
    # Longest first: the first trace of a part is the length that all of it is padded to.
    for ids, num_prompt in sorted(pool, key=lambda item: -len(item[0])):
        if parts[-1] and len(parts[-1][0][0]) * (len(parts[-1]) + 1) > num_tokens:
            parts.append([])
        parts[-1].append((ids, num_prompt))
    return parts


def pad_batch(part: list[tuple[list[int], int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Token ids and labels of one batch; prompts and padding carry no loss."""
    width = max(len(ids) for ids, _ in part)
    ids_BT = torch.full((len(part), width), pad_id)
    labels_BT = torch.full((len(part), width), IGNORED)
    for row, (ids, num_prompt) in enumerate(part):
        ids_BT[row, : len(ids)] = torch.tensor(ids)
        labels_BT[row, num_prompt : len(ids)] = torch.tensor(ids[num_prompt:])
    return ids_BT, labels_BT


@dataclass(frozen=True, slots=True)
class TrainedStep:
    """What one optimiser step saw."""

    loss: float
    """Nats a token, balance loss included."""
    num_tokens: int
    """Prompts included, padding not."""


def train(
    model: Qwen3MoeForCausalLM, tokenizer: PreTrainedTokenizerFast, config: PretrainConfig
) -> Iterator[TrainedStep]:
    """Train the model in place, one step each time a value is asked for.

    RunError where loss or gradient is not finite.
    """
    betas = (config.beta1, config.beta2)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.lr, betas=betas, weight_decay=config.weight_decay, fused=True
    )
    model.train()
    for step, (ids_BT, labels_BT) in zip(range(1, config.steps + 1), batches(config, tokenizer), strict=False):
        mask_BT = (ids_BT != tokenizer.pad_token_id).long()
        loss = model(
            input_ids=ids_BT, attention_mask=mask_BT, labels=labels_BT, output_router_logits=True, use_cache=False
        ).loss
        loss.backward()
        norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm))
        if not (math.isfinite(norm) and math.isfinite(loss.item())):
            raise RunError(
                f"step {step}: loss {loss.item():g} with a gradient of norm {norm:g} is not finite; no base is "
                f"written: start anew with a lower lr (now {config.lr:g}) or a longer warmup_steps"
            )
        optimizer.param_groups[0]["lr"] = learning_rate(step, config)
        optimizer.step()
        optimizer.zero_grad()
        yield TrainedStep(loss.item(), int(mask_BT.sum()))


def pretrain(config: PretrainConfig, out_dir: Path) -> None:
    """Train a base, score it, and write it to `out_dir`, which must not exist: all of it or nothing.

    The folder holds bfloat16 safetensors, config.json, tokenizer files and the model card README.md.
    """
    if out_dir.exists():
        raise ConfigError(f"{out_dir} exists; remove it or name another folder")
    num_threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        model, tokenizer = make_model(config), make_tokenizer(config.model.max_positions)
        cost = _train_with_progress(model, tokenizer, config)
        write_base(model.to(torch.bfloat16), tokenizer, config, cost, out_dir)
    finally:
        torch.set_num_threads(num_threads)


def _train_with_progress(
    model: Qwen3MoeForCausalLM, tokenizer: PreTrainedTokenizerFast, config: PretrainConfig
) -> Cost:
    """Run all steps under a progress bar, and say what they cost."""
    wall_start, cpu_start = time.monotonic(), time.process_time()
    num_tokens, loss = 0, math.nan
    columns = (
        TextColumn("pre-training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}  {task.fields[speed]:,.0f} tokens/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        bar = progress.add_task("steps", total=config.steps, loss=loss, speed=math.nan)
        for step in train(model, tokenizer, config):
            num_tokens += step.num_tokens
            loss = step.loss if math.isnan(loss) else 0.98 * loss + 0.02 * step.loss
            progress.update(bar, advance=1, loss=loss, speed=num_tokens / (time.monotonic() - wall_start))
    return Cost(
        num_tokens=num_tokens,
        last_loss=loss,
        wall_seconds=time.monotonic() - wall_start,
        cpu_seconds=time.process_time() - cpu_start,
    )


def write_base(
    model: Qwen3MoeForCausalLM, tokenizer: PreTrainedTokenizerFast, config: PretrainConfig, cost: Cost, out_dir: Path
) -> None:
    """Save and score under a temporary name beside `out_dir`, then rename: nobody sees half a base."""
    with whole_folder(out_dir) as unfinished:
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        card = base_card(config, cost, measure_base(unfinished, config))
        (unfinished / "README.md").write_text(card, encoding="utf-8")
        for path in unfinished.iterdir():
            path.chmod(0o644)  # safetensors files are private by default; a base is for everybody
