"""Scores of a base on held-out problems, and the model card that states them."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import yaml

from doubleback.eval.run import Request, generate
from doubleback.eval.show.tables import labels
from doubleback.eval.summarise import summary
from doubleback.recipes.pretrain.config import PretrainConfig
from doubleback.recipes.pretrain.lesson import Lesson
from doubleback.rewards.compose.config import ComponentConfig, RewardConfig
from doubleback.rewards.compose.reward import load_reward
from doubleback.rewards.sample_lines import with_columns
from doubleback.rewards.types import Verdict
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.create import create_engine
from doubleback.rl.policy.base import base_tensors, load_base, load_tokenizer
from doubleback.rl.run.experts import expert_balance
from doubleback.rl.run.samples import sample_lines
from doubleback.rl.types import Group, ModelSource, Sampling

NAMES = {"qwen3_moe": "Qwen3-MoE", "glm4_moe": "GLM-4-MoE"}
NUM_SAMPLES = 16
"""Completions per problem."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What training took, scoring apart."""

    num_tokens: int
    """Prompts included, padding not."""
    last_loss: float
    """Running mean of the loss, nats a token."""
    wall_seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Scores:
    """What a base does on held-out problems."""

    groups: Sequence[Group]
    summary: Mapping[str, Any]


def measure_base(folder: Path, config: PretrainConfig, lesson: Lesson) -> Scores:
    """Scores of the base in `folder`, in float32, on the split of the settings: what `train` measures at step 0."""
    model = ModelSource(str(folder), "float32", config.model.max_positions)
    setup = EngineConfig(name="transformers").setup(model)
    engine = create_engine(setup, base_tensors(load_base(model)), load_tokenizer(model.path))
    sampling = Sampling(NUM_SAMPLES, 1.0, config.budget)
    held_out = lesson.problems(config.score_split)
    request = Request(config.score_split, held_out, sampling, config.seed)
    components = {lesson.task: ComponentConfig(args={}), "format": ComponentConfig(weight=0.1, args={})}
    reward = load_reward(RewardConfig(components=components), config.budget)
    groups = generate(engine, request, reward)
    lines = with_columns([line for group in groups for line in sample_lines(group)], held_out)
    return Scores(groups, summary(lines, {}, measures=lesson.measures))


def _example(groups: Sequence[Group]) -> str:
    """Prompt and completion of the first right sample that says `back`; of the first sample where none does."""
    samples = [
        (
            f"{group.problem.prompt} {row.completion.text}",
            row.score.verdict == Verdict.CORRECT and "back" in row.completion.text,
        )
        for group in groups
        for row in group.rows()
    ]
    return next((text for text, doubles_back in samples if doubles_back), samples[0][0])


def _row(name: str, estimate: Mapping[str, float | None]) -> str:
    """A measure and its interval, where it has one: a single problem that it applies to says nothing of others."""
    low, high = estimate["low"], estimate["high"]
    interval = "-" if low is None or high is None else f"{low:.3f} to {high:.3f}"
    return f"| {name} | {estimate['value']:.3f} | {interval} |"


def _experts(groups: Sequence[Group]) -> str:
    """How evenly these completions' tokens are spread over the experts, a row a layer; nothing of a dense model."""
    if (layers := expert_balance(groups)) is None:
        return ""
    head = "| layer of experts | MaxVio | mean violation | entropy | never used | busiest expert |\n" + 6 * "|---" + "|"
    rows = [
        f"| {number} | {' | '.join(f'{value:.3f}' for value in astuple(layer))} |"
        for number, layer in enumerate(layers)
    ]
    return "\n".join([head, *rows, ""])


def base_card(config: PretrainConfig, lesson: Lesson, cost: Cost, scores: Scores) -> str:
    """The model card, in Markdown: task, scores, data, cost, settings."""
    is_dense = config.model.dense_size is not None
    kind = "dense Qwen3" if is_dense else NAMES[config.model.architecture]
    num_seen = len(lesson.problems("pretrain"))
    estimates = {f"pass@{k}": scores.summary["pass_at_k"][str(k)] for k in (1, NUM_SAMPLES)}
    estimates |= {label: scores.summary[name] for name, label in labels(scores.summary).items()}
    rows = "\n".join(_row(name, estimate) for name, estimate in estimates.items() if estimate["value"] is not None)
    settings = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    return f"""---
license: mit
library_name: transformers
pipeline_tag: text-generation
tags: [{lesson.task}, {"dense" if is_dense else "mixture-of-experts"}, doubleback]
---

# {lesson.title}

A {kind} made for doubleback's tests and demonstrations, pre-trained from scratch on
synthetic traces. Given {lesson.does}; it knows nothing else. Weights are bfloat16,
the tokenizer knows {len(lesson.vocabulary)} words, and there is no chat template. A completion of a held-out problem:

    {_example(scores.groups)}

## Scores

{len(scores.groups)} {config.score_split} problems that pre-training never saw, {NUM_SAMPLES} completions each,
temperature 1, at most {config.budget} tokens, sampled with transformers in float32 from these bfloat16 weights.
Intervals are 95 %, bootstrapped over problems.

| measure | value | 95 % interval |
|---|---|---|
{rows}

{_experts(scores.groups)}
Shares are of completions. Backtracks and errors are found by replaying the states of the search
(`{lesson.replay}`).

## Data and cost

Synthetic traces of the {num_seen:,} pre-training problems with {lesson.size}
(`doubleback.recipes.tasks.{lesson.task}.traces`), seed {config.seed}: {cost.num_tokens:,} tokens in
{config.steps:,} steps, last loss {cost.last_loss:.3f} nats a token. Training took
{cost.wall_seconds:.0f} s of wall time and {cost.cpu_seconds:.0f} CPU-seconds (threads: {config.threads}).
Other machines may round differently and end at slightly different weights.

## Settings

```yaml
{settings}```
"""
