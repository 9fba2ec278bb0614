"""Scores of a Countdown base on held-out problems, and the model card that states them."""

from copy import deepcopy
from dataclasses import dataclass
from statistics import fmean

import yaml
from transformers import PreTrainedTokenizerFast, Qwen3MoeForCausalLM

from doubleback.eval.backtracking import Replay, replay
from doubleback.eval.passk import Estimate, clustered, pass_at_k
from doubleback.recipes.countdown.pretrain_config import PretrainConfig
from doubleback.recipes.countdown.sampling import sample_completions
from doubleback.rewards.countdown import Split, grade, problems
from doubleback.rewards.extract import think_answer
from doubleback.rewards.types import Problem, Verdict

NUM_SAMPLES = 16
"""Completions per problem."""
MAX_TOKENS = 128
"""Completion tokens, as in the countdown recipe."""


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
class BaseScores:
    """Sampling at temperature 1. Means over problems of means over samples, with 95 % intervals over problems."""

    num_problems: int
    measures: dict[str, Estimate]
    """Row of the card -> value."""
    example: str
    """Prompt and completion of a sample that doubled back and was right; of the first sample where none did."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """One scored completion."""

    text: str
    is_right: bool
    is_exact: bool
    is_cut_off: bool
    num_tokens: int
    replay: Replay


def measure_base(model: Qwen3MoeForCausalLM, tokenizer: PreTrainedTokenizerFast, config: PretrainConfig) -> BaseScores:
    """Scores of a model, its weights as they are but computed with in float32, on the split that the settings name."""
    held_out = problems(config.num_numbers, Split(config.score_split))
    policy = deepcopy(model).float().eval()
    completions = sample_completions(policy, tokenizer, held_out, NUM_SAMPLES, MAX_TOKENS, config.seed)
    samples = [
        [_score(problem, ids, tokenizer) for ids in group] for problem, group in zip(held_out, completions, strict=True)
    ]
    flat = [(problem, sample) for problem, group in zip(held_out, samples, strict=True) for sample in group]
    problem, shown = next((pair for pair in flat if pair[1].replay.is_verified_backtrack), flat[0])
    return BaseScores(len(held_out), _estimates(samples), f"{problem.prompt} {shown.text}")


def _score(problem: Problem, ids: list[int], tokenizer: PreTrainedTokenizerFast) -> _Sample:
    numbers, target = problem.columns["numbers"], problem.columns["target"]
    text = tokenizer.decode(ids, skip_special_tokens=True)
    return _Sample(
        text=text,
        is_right=grade(text, numbers, target).verdict == Verdict.CORRECT,
        is_exact=think_answer(text).is_exact,
        is_cut_off=ids[-1] != tokenizer.eos_token_id,
        num_tokens=len(ids),
        replay=replay(text, numbers, target),
    )


def _estimates(samples: list[list[_Sample]]) -> dict[str, Estimate]:
    def mean(name: str) -> Estimate:
        return clustered([fmean(getattr(sample, name) for sample in group) for group in samples])

    def mean_replay(name: str) -> Estimate:
        return clustered([fmean(getattr(sample.replay, name) for sample in group) for group in samples])

    num_right = [sum(sample.is_right for sample in group) for group in samples]
    return {
        "pass@1": mean("is_right"),
        f"pass@{NUM_SAMPLES}": clustered([pass_at_k(NUM_SAMPLES, right, NUM_SAMPLES) for right in num_right]),
        "verified backtracks, share of completions": mean_replay("is_verified_backtrack"),
        "exact format, share of completions": mean("is_exact"),
        "cut off at the limit, share of completions": mean("is_cut_off"),
        "arithmetic errors a completion": mean_replay("num_arithmetic_errors"),
        "illegal steps a completion": mean_replay("num_illegal_steps"),
        "false checks a completion": mean_replay("num_false_checks"),
        "steps a completion": mean_replay("num_steps"),
        "tokens a completion": mean("num_tokens"),
    }


def base_card(config: PretrainConfig, cost: Cost, scores: BaseScores) -> str:
    """The model card, in Markdown: task, scores, data, cost, settings."""
    num_seen = len(problems(config.num_numbers, Split.PRETRAIN))
    rows = "\n".join(
        f"| {name} | {estimate.value:.3f} | {estimate.low:.3f} to {estimate.high:.3f} |"
        for name, estimate in scores.measures.items()
    )
    settings = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    return f"""---
license: mit
library_name: transformers
pipeline_tag: text-generation
tags: [countdown, mixture-of-experts, doubleback]
---

# A tiny mixture of experts that plays Countdown

A Qwen3-MoE made for doubleback's tests and demonstrations, pre-trained from scratch on synthetic traces. Given
`9 7 12 -> 28` it thinks in operations and answers with an expression; it knows nothing else. Weights are bfloat16,
the tokenizer knows 118 words, and there is no chat template. A completion of a held-out problem:

    {scores.example}

## Scores

{scores.num_problems} {config.score_split} problems that pre-training never saw, {NUM_SAMPLES} completions each,
temperature 1, at most {MAX_TOKENS} tokens, sampled with transformers in float32 from these bfloat16 weights. Intervals
are 95 %, bootstrapped over problems.

| measure | value | 95 % interval |
|---|---|---|
{rows}

Backtracks and errors are counted by replaying the states of the search (`doubleback.eval.backtracking`).

## Data and cost

Synthetic traces of the {num_seen:,} pre-training problems with {config.num_numbers} numbers
(`doubleback.recipes.countdown.traces`), seed {config.seed}: {cost.num_tokens:,} tokens in {config.steps:,} steps, last
loss {cost.last_loss:.3f} nats a token. Training took {cost.wall_seconds:.0f} s of wall time and
{cost.cpu_seconds:.0f} CPU-seconds (threads: {config.threads}). Other machines may round differently and end at slightly
different weights.

## Settings

```yaml
{settings}```
"""
