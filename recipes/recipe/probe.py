"""The last check before a token is trained: the base answers a few problems, and an adapter makes the trip.

The pass rate says whether there is anything to learn from; the comparison of what both sides compute, with and without
an adapter, whether the engine serves the model that is trained. A wrong name in the table of families shows here.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean

import torch
from rich.table import Table

from doubleback.eval.prompts.prompt import read_prompt
from doubleback.eval.statistics.intervals import Estimate, interval
from doubleback.recipes.recipe.assembly import Assembled, Prepared
from doubleback.recipes.recipe.mixture.strands import strands
from doubleback.recipes.recipe.schema import Recipe
from doubleback.rewards.types import UNUSABLE, RunError, Verdict
from doubleback.rl.learner.learner import ALL_PARTS, Comparison
from doubleback.rl.objective.agreement import QUANTILE
from doubleback.rl.policy import lora
from doubleback.rl.rollout.scoring import Scoring
from doubleback.rl.seeds import sample_seed
from doubleback.rl.sync import measured_bound
from doubleback.rl.types import Group

NUM_PROBLEMS = 8
NUM_TINY = 4
"""Problems, and samples of each, of a tiny stand-in: enough to compare both sides, and it says nothing of a policy."""
NUM_SERVED = 2
"""Problems of the adapter that makes the trip."""
MOST, FEW = 0.75, 0.05
"""Shares beyond which a finding is worth a warning."""
PROBE_STD = 0.02
"""Deviation of the random B of the adapter that makes the trip."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What the base does on the first problems, and how well both sides agree on it."""

    num_problems: int
    group_size: int
    pass_rate: Estimate
    """With its 95 % interval over these few problems."""
    no_signal: float
    """Share of groups whose rewards do not differ."""
    format_rate: float
    """Mean of the reward's component `format`; NaN without one."""
    truncated: float
    base: Comparison
    """Engine and trainer on the bare base."""
    adapter: Comparison
    """Engine and trainer on a random adapter of the recipe's shape."""


def probe(recipe: Recipe, prepared: Prepared, assembled: Assembled) -> Probe:
    """Sample, score and compare. RunError where engine and trainer disagree; the learner is left as it was."""
    problems = list(prepared.splits.train[: NUM_TINY if recipe.tiny else NUM_PROBLEMS])
    sampling = recipe.sampling.sampling()
    if recipe.tiny:
        sampling = replace(sampling, group_size=min(NUM_TINY, sampling.group_size))
    seeds = [sample_seed(recipe.seed, "preflight", problem.id) for problem in problems]
    scoring = Scoring(prepared.reward)
    groups = assembled.engine.sample(problems, sampling, seeds, on_group=scoring.start)
    groups = scoring.finish(groups)
    temperature = recipe.sampling.temperature
    base = assembled.learner.compare(groups, temperature, frozenset())
    canaries = [(group.prompt_ids, group.completions[0].token_ids) for group in groups]
    measured = partial(measured_bound, assembled.engine, assembled.learner, canaries, recipe.sync, prepared.model.dtype)
    _require(base, measured(parts=frozenset()), "the bare base")
    with _random_adapter(assembled, recipe.seed):
        served = assembled.engine.sample(problems[:NUM_SERVED], sampling, seeds[:NUM_SERVED])
        adapter = assembled.learner.compare(served, temperature)
        _require(
            adapter,
            measured(parts=ALL_PARTS),
            f"a random adapter on {', '.join(_adapted_parts(assembled))}, delivered {assembled.strategy.name}",
        )
    completions = [completion for group in groups for completion in group.completions]
    scores = [score for group in groups for score in group.scores]
    shapes = [score.parts["format"] for score in scores if "format" in score.parts]
    return Probe(
        num_problems=len(problems),
        group_size=sampling.group_size,
        pass_rate=interval([_pass_rate(group) for group in groups], is_single=False),
        no_signal=sum(len({score.value for score in group.scores}) == 1 for group in groups) / len(groups),
        format_rate=fmean(shapes) if shapes else math.nan,
        truncated=sum(completion.is_truncated for completion in completions) / len(completions),
        base=base,
        adapter=adapter,
    )


def _pass_rate(group: Group) -> float:
    """The share of the judged completions of a problem that are right; NaN where none could be judged."""
    judged = [score.verdict == Verdict.CORRECT for score in group.scores if score.verdict not in UNUSABLE]
    return sum(judged) / len(judged) if judged else math.nan


@contextmanager
def _random_adapter(assembled: Assembled, seed: int) -> Iterator[None]:
    """Within the block learner and engine have an adapter whose every tensor acts; then the learner's own is back."""
    own = assembled.learner.adapter()
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        name: PROBE_STD * torch.randn(tensor.shape, generator=generator) if ".lora_B." in name else tensor
        for name, tensor in own.tensors.items()
    }
    try:
        lora.load(assembled.learner.model, tensors)
        assembled.engine.load_adapter(assembled.learner.adapter(), version=assembled.learner.step)
        yield
    finally:
        lora.load(assembled.learner.model, own.tensors)
        assembled.engine.load_adapter(own, version=assembled.learner.step)


def _require(measured: Comparison, bound: float, what: str) -> None:
    gap = measured.gap
    if not gap.quantile_abs <= bound:  # so put, NaN stops too
        raise RunError(
            f"preflight: trainer and engine disagree on {what}: {QUANTILE:.0%} of {gap.num_tokens} sampled tokens "
            f"{gap.in_words} (sync.bound {bound:g}); training on its samples would be "
            f"wrong. Is the model's family described as it is (rl/policy/families.py)?"
        )


def _adapted_parts(assembled: Assembled) -> list[str]:
    return sorted({target.part for target in lora.targets(assembled.learner.model)})


def add_rows(table: Table, probed: Probe) -> None:
    """The probe, a row per finding."""
    for label, side in (("base", probed.base), ("adapter", probed.adapter)):
        table.add_row(
            f"engine = trainer, {label}",
            f"mean {side.gap.mean_abs:.1e}, max {side.gap.max_abs:.1e} nats on {side.gap.num_tokens} tokens"
            f"{_other_experts(side)}",
        )
    passed, size = probed.pass_rate, f"{probed.num_problems} problems x {probed.group_size}"
    table.add_row("base passes", f"{passed.value:.3f} [{passed.low:.3f}, {passed.high:.3f}] of {size}")
    table.add_row("no signal", f"{probed.no_signal:.0%} of groups (all rewards equal)")
    if not math.isnan(probed.format_rate):
        table.add_row("format kept", f"{probed.format_rate:.3f}")
    table.add_row("cut off", f"{probed.truncated:.3f}")


def _other_experts(side: Comparison) -> str:
    """The share of tokens with other experts; nothing of a model that has none, or an engine that does not say."""
    return "" if math.isnan(side.experts_differ) else f"; other experts for {side.experts_differ:.2%} of tokens"


def warnings(probed: Probe, recipe: Recipe) -> list[str]:
    """What makes it likely that the run will not learn; a line each, with what to do."""
    lines = [] if recipe.tiny else _of_the_base(probed, recipe)  # what a random model does says nothing
    for prompt in dict.fromkeys(strand.recipe.task.prompt for strand in strands(recipe)):
        stop = read_prompt(prompt).stop
        if set(stop) <= set(recipe.sampling.stop):
            continue
        lines.append(
            f"task.prompt={prompt} ends a completion at {stop}, and sampling.stop={recipe.sampling.stop} "
            f"does not: the model may go on to a next question; set sampling.stop to these"
        )
    return lines


def _of_the_base(probed: Probe, recipe: Recipe) -> list[str]:
    lines = []
    tried = probed.num_problems * probed.group_size
    if probed.pass_rate.value == 0:
        lines.append(f"none of {tried} completions is correct: there is nothing to reinforce; take easier problems")
    if probed.no_signal > MOST:
        lines.append(f"{probed.no_signal:.0%} of groups carry no signal; raise sampling.group_size or change problems")
    if probed.format_rate < FEW:
        lines.append(f"only {probed.format_rate:.1%} keep the format that the reward asks for; show it in task.prompt")
    if probed.truncated > MOST:
        lines.append(
            f"{probed.truncated:.0%} are cut off at sampling.max_tokens={recipe.sampling.max_tokens}; raise it"
        )
    if probed.base.experts_differ > FEW and not recipe.algorithm.routing_replay:
        share = f"{probed.base.experts_differ:.1%}"
        lines.append(f"{share} of tokens go to other experts in the trainer; try algorithm.routing_replay=true")
    return lines
