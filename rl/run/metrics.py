"""Every number that a step reports: name, unit, formula. Nothing else may log.

`docs/metrics.md` is written from `METRICS`; a test keeps the two and the files of a run together.
"""

import math
from collections.abc import Sequence
from statistics import StatisticsError, correlation

import torch

from doubleback.rewards.types import UNUSABLE, Score, Verdict
from doubleback.rl.objective.balance import over_layers
from doubleback.rl.run.experts import expert_balance
from doubleback.rl.types import Batch, Group

METRICS: dict[str, str] = {
    "reward/mean": "mean reward of the step's completions that have one",
    "reward/std": "standard deviation of the same, over the step",
    "reward/kl_penalty": "mean kl_coef * KL taken off a reward before the advantages; only with kl_in: reward. "
    "reward/mean is without it",
    "reward/part/NAME": "mean raw value of the reward component NAME, over the completions it applies to",
    "reward/weighted/NAME": "mean of what NAME comes to in the reward, after clip, gate and weight",
    "reward/length_correlation/NAME": "Pearson correlation of the raw value of NAME with the number of tokens",
    "verdict/correct": "share of completions with this verdict; one key for each verdict. `correct` is the pass rate",
    "rollout/num_completions": "completions in the step",
    "rollout/tokens": "completion tokens in the step",
    "rollout/mean_tokens": "completion tokens per completion",
    "rollout/max_tokens": "longest completion, tokens",
    "rollout/cut_off": "share of completions cut off at sampling.max_tokens; verdict/truncated is the share of those "
    "that had given no answer",
    "rollout/zero_variance": "share of groups whose rewards do not differ: no gradient",
    "rollout/rounds": "rounds of sampling in the step",
    "rollout/replaced": "groups without spread that other problems replaced",
    "rollout/lag": "mean steps between the adapter that sampled and the one that learns; 0 without rollout.ahead",
    "rollout/unusable": "share of completions without a reward (timeout, grader_error): out of all statistics",
    "experts/max_violation": "(largest load - mean load) / mean load of a layer's experts (MaxVio, arXiv:2408.15664), "
    "mean over layers. An expert's load is how many tokens chose it, of those that the step's completions came of. All "
    "of experts/ only where the engine reports experts: never of a dense model",
    "experts/worst_violation": "the same of the layer where it is largest",
    "experts/mean_violation": "mean over a layer's experts of |load - mean load| / mean load, mean over layers",
    "experts/entropy": "entropy of a layer's shares of load over ln(experts), mean over layers; 1 is balanced",
    "experts/unused": "share of a layer's experts that no token of the step chose, mean over layers",
    "experts/largest_share": "share of the tokens that chose one and the same expert: the largest of any layer",
    "problems/out_of_range": "share of the training problems whose running pass rate is out of bounds; only with a "
    "filter",
    "problems/level": "highest level that the curriculum has reached; only with one",
    "problems/level_pass_rate": "running pass rate of that level; only with a curriculum",
    "strand/STRAND/reward": "mean reward of the step's completions of the mode or task STRAND that have one; the group "
    "strand/ only with modes or mix (docs/modes.md)",
    "strand/STRAND/correct": "share of correct among its completions that could be judged",
    "strand/STRAND/mean_tokens": "its completion tokens per completion",
    "strand/STRAND/cut_off": "share of its completions cut off at its own longest",
    "strand/STRAND/part/NAME": "mean raw value of its reward component NAME, over the completions it applies to; "
    "`obeys_thinking` of a mode that is to think, or not to",
    "strand/STRAND/level": "what problems/level is of it alone; likewise level_pass_rate and out_of_range",
    "learner/loss": "the loss of rl.objective.losses over the whole step, mean over updates",
    "learner/grad_norm": "L2 norm of the adapter's gradient before clipping, mean over updates",
    "learner/lr": "learning rate of the step",
    "learner/entropy": "mean entropy of the policy's next-token distribution, nats, over trained tokens",
    "learner/clip_low": "share of trained tokens whose ratio is below 1 - clip_low with a negative advantage",
    "learner/clip_high": "share of trained tokens whose ratio is above 1 + clip_high with a positive advantage",
    "learner/dual_clip": "share of trained tokens whose ratio is above dual_clip with a negative advantage; only with "
    "a dual clip",
    "learner/importance_capped": "share of trained tokens whose ratio trainer/sampler is at importance_cap or beyond",
    "learner/importance_floored": "share of trained tokens whose ratio trainer/sampler is at importance_floor or "
    "below; only with a floor",
    "learner/kl_ref": "mean k3 estimate of KL(policy || adapter-off reference), nats per token; only with a KL in the "
    "loss",
    "learner/kl_teacher": "mean of log policy - log teacher over sampled tokens, the k1 estimate of KL(policy || "
    "teacher), nats per token; only with `kind: distil`",
    "learner/entropy_coef": "what multiplied the entropy in the loss of the step; only with an entropy bonus",
    "learner/tokens": "tokens that went through forward and backward",
    "gap/mean_abs": "mean |old_logprobs - sampler_logprobs| over trained tokens, nats",
    "gap/max_abs": "maximum of the same",
    "gap/k3": "k3 estimate of KL(sampler || trainer) over trained tokens, nats",
    "gap/experts_differ": "share of tokens, prompts included, that the trainer by itself would send to other experts "
    "than the engine did, in any layer",
    "sync/mean_abs": "mean |trainer - engine| log-probability on the canary tokens after the push, nats",
    "sync/max_abs": "maximum of the same",
    "sync/moved": "mean |new adapter - adapter before| log-probability on the canary tokens (trainer), nats",
    "sync/from_base": "mean |new adapter - bare base| log-probability on the canary tokens (trainer), nats",
    "sync/bound": "what 98 % of the canary tokens had to keep: 16 times the model's own rounding (docs/sync.md), nats",
    "eval/SUITE/pass@K": "pass@K on the problems of SUITE (validation, test, or one of eval.suites; of a "
    "mode or task of a mixture validation-STRAND and test-STRAND), when due, by the "
    "pipeline of `doubleback eval`; undefined where a problem has fewer than K samples that could be judged",
    "eval/SUITE/format_rate": "share of completions in exactly the think/answer format",
    "eval/SUITE/cut_off_rate": "share of completions cut off at sampling.max_tokens",
    "eval/SUITE/mean_tokens": "completion tokens per completion",
    "eval/SUITE/obeys_thinking": "share of completions that thought exactly where they were asked to; only where a "
    "mode of thinking is asked for",
    "eval/SUITE/MEASURE": "mean of a measure that the recipe's task brings, under its name (docs/tasks.md): "
    "verified_backtrack, arithmetic_error_rate or deduction_error_rate, and false_check_rate; or steps_shown and "
    "wrong_step_rate",
    "fleet/serving": "engines that serve the adapter after the step was sampled; fleet/ is of several engines, or of "
    "one in a process of its own",
    "fleet/restarts": "engines that were replaced since the run began or went on",
    "fleet/REPLICA/tokens_per_s": "tokens of engine REPLICA, from 1, over seconds/rollout; undefined where it was "
    "replaced meanwhile or cannot say",
    "fleet/REPLICA/adapter_age": "steps by which its adapter is older than the newest that any of them has",
    "speed/rollout_tokens_per_s": "rollout/tokens over seconds/rollout",
    "speed/update_tokens_per_s": "learner/tokens over the seconds of the update",
    "seconds/rollout": "generation, with the scoring that goes on meanwhile",
    "seconds/queue": "before the update, for a batch that is still being sampled ahead; 0 without rollout.ahead",
    "seconds/wait": "after the update, for what is sampled meanwhile; 0 without rollout.ahead",
    "seconds/reward": "waiting for the scores that are left, and advantages",
    "seconds/update": "forward, backward, optimiser",
    "seconds/sync": "the adapter's way into the engine: export, merge and load; 0 where it stays (`rollout.max_lag`)",
    "seconds/receipt": "proof that it arrived: the canaries in trainer and engine; 0 where it has not moved",
    "seconds/step": "the whole step, evaluation and checkpoint apart",
    "seconds/began_at": "when the step began, since this process began to train",
    "seconds/sampled_at": "when its sampling began, on the same clock: before the step with rollout.ahead",
}
"""Name -> what it is. Shares are of 1. NaN (`null` in the file) where nothing was measured, never 0."""

TIMED = ("seconds/", "speed/", "fleet/")
"""Groups that differ between two runs of the same seed. Every other metric is equal to the last bit on the CPU."""


def rollout_metrics(groups: Sequence[Group], batch: Batch, num_rounds: int = 1) -> dict[str, float]:
    """Groups reward/, verdict/, rollout/ and experts/ of one step, over all that was sampled;
    `batch` may hold fewer groups.
    """
    num_replaced = len(groups) - len(batch.groups)
    penalties = [penalty for group in groups for penalty in group.penalties]
    completions = [completion for group in groups for completion in group.completions]
    scores = [item for group in groups for item in group.scores]
    values = torch.tensor([item.value for item in scores if item.value is not None], dtype=torch.float64)
    lengths = [len(completion.token_ids) for completion in completions]
    total = len(completions)
    return {
        "reward/mean": float(values.mean()) if len(values) else math.nan,
        "reward/std": float(values.std(correction=0)) if len(values) else math.nan,
        **({"reward/kl_penalty": _mean(penalties)} if penalties else {}),
        **_part_metrics(scores, lengths),
        **{f"verdict/{verdict}": sum(item.verdict == verdict for item in scores) / total for verdict in Verdict},
        "rollout/num_completions": float(total),
        "rollout/tokens": float(sum(lengths)),
        "rollout/mean_tokens": sum(lengths) / total,
        "rollout/max_tokens": float(max(lengths)),
        "rollout/cut_off": sum(completion.is_truncated for completion in completions) / total,
        "rollout/zero_variance": (batch.num_zero_variance + num_replaced) / len(groups),
        "rollout/rounds": float(num_rounds),
        "rollout/replaced": float(num_replaced),
        "rollout/unusable": sum(item.verdict in UNUSABLE for item in scores) / total,
        **_expert_metrics(groups),
    }


def _expert_metrics(groups: Sequence[Group]) -> dict[str, float]:
    layers = expert_balance(groups)
    return {} if layers is None else {f"experts/{name}": value for name, value in over_layers(layers).items()}


def _part_metrics(scores: Sequence[Score], lengths: Sequence[int]) -> dict[str, float]:
    metrics = {}
    for name in sorted({name for item in scores for name in item.parts}):
        pairs = [(item.parts[name], length) for item, length in zip(scores, lengths, strict=True) if name in item.parts]
        metrics[f"reward/part/{name}"] = _mean([value for value, _ in pairs])
        metrics[f"reward/length_correlation/{name}"] = _correlation(pairs)
    for name in sorted({name for item in scores for name in item.weighted}):
        metrics[f"reward/weighted/{name}"] = _mean([item.weighted[name] for item in scores if name in item.weighted])
    return metrics


def _correlation(pairs: Sequence[tuple[float, int]]) -> float:
    """Pearson's; NaN where either side does not vary."""
    try:
        return correlation([value for value, _ in pairs], [length for _, length in pairs])
    except StatisticsError:
        return math.nan


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
