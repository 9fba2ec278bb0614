"""Pre-training from scratch on synthetic traces: batches and steps, all in float32. Shapes: B traces, T tokens."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor
from transformers import PreTrainedModel

from doubleback.recipes.pretrain.balance import balancing
from doubleback.recipes.pretrain.config import PretrainConfig
from doubleback.recipes.pretrain.lesson import Lesson
from doubleback.recipes.pretrain.traces import sample_trace
from doubleback.recipes.pretrain.words import PAD
from doubleback.rewards.types import RunError

BATCHES_PER_POOL = 16
"""Traces are sorted by length within a pool of about so many batches: little padding, and batches stay mixed."""
IGNORED = -100
"""The label of tokens without loss."""


def learning_rate(step: int, config: PretrainConfig) -> float:
    """The rate of a step counted from 1: linear warm-up, constant, linear decay to 0 after the last step."""
    rise = step / config.warmup_steps if config.warmup_steps else 1.0
    num_decay = config.decay_share * config.steps
    fall = (config.steps + 1 - step) / num_decay if num_decay else 1.0
    return config.lr * min(1.0, rise, fall)


def traces(config: PretrainConfig, lesson: Lesson) -> Iterator[tuple[str, str]]:
    """Prompt and completion for ever: every pre-training problem once, in random order, then again with new traces."""
    problem_list = lesson.problems("pretrain")
    for draw in count():
        order = random.Random(f"{config.seed}:{draw}")
        for problem in order.sample(problem_list, len(problem_list)):
            yield problem.prompt, sample_trace(lesson.search, problem, config.seed, draw, config.mix, config.budget)


def batches(config: PretrainConfig, lesson: Lesson) -> Iterator[tuple[Tensor, Tensor]]:
    """Token ids and labels, both BT and padded on the right, of at most `tokens_per_batch` elements."""
    tokenizer = lesson.tokenizer(config)
    shuffle = random.Random(config.seed).shuffle
    pool: list[tuple[list[int], int]] = []
    num_tokens = 0
    for prompt, completion in traces(config, lesson):
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


def train(model: PreTrainedModel, config: PretrainConfig, lesson: Lesson) -> Iterator[TrainedStep]:
    """Train the model in place, one step each time a value is asked for.

    RunError where loss or gradient is not finite.
    """
    betas = (config.beta1, config.beta2)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.lr, betas=betas, weight_decay=config.weight_decay, fused=True
    )
    model.train()
    spread = balancing(model, config)
    pad_id = lesson.vocabulary.index(PAD)
    for step, (ids_BT, labels_BT) in zip(range(1, config.steps + 1), batches(config, lesson), strict=False):
        mask_BT = (ids_BT != pad_id).long()
        loss = spread.loss(ids_BT, mask_BT, labels_BT)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm))
        if not (math.isfinite(norm) and math.isfinite(loss.item())):
            raise RunError(
                f"step {step}: loss {loss.item():g} with a gradient of norm {norm:g} is not finite; no base is "
                f"written: start anew with a lower lr (now {config.lr:g}) or a longer warmup_steps"
            )
        optimizer.param_groups[0]["lr"] = learning_rate(step, config)
        optimizer.step()
        optimizer.zero_grad()
        spread.after_step(mask_BT)
        yield TrainedStep(loss.item(), int(mask_BT.sum()))
