"""The rollouts of one step: sampled and scored, in one round or until every group has something to teach."""

from collections.abc import Sequence
from dataclasses import dataclass

from doubleback.rl.config import SamplingConfig
from doubleback.rl.engines.engine import Engine
from doubleback.rl.objective.advantages import has_spread
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.rollout.problems import ProblemSource
from doubleback.rl.rollout.scoring import Reward, Scoring
from doubleback.rl.seeds import sample_seed
from doubleback.rl.stopwatch import Stopwatch
from doubleback.rl.types import Group


@dataclass(frozen=True, slots=True)
class Rollout:
    """Scored groups of one step."""

    groups: tuple[Group, ...]
    """What the step learns from, prompts_per_step of them unless the problems ran out, in the order of sampling."""
    replaced: tuple[Group, ...]
    """Groups without spread in whose place others were sampled."""
    num_rounds: int
    """Calls of the engine."""


def roll_out(
    engine: Engine,
    source: ProblemSource,
    reward: Reward,
    algorithm: AlgorithmConfig,
    sampling: SamplingConfig,
    prompts_per_step: int,
    run_seed: int,
    step: int,
    watch: Stopwatch,
) -> Rollout:
    """Sample and score a step's problems; with max_rounds > 1 go on in place of groups without spread.

    DAPO's dynamic sampling (arXiv:2503.14476, eq. 11), with other habits: a round samples only as many problems as are
    missing, so that nothing with a spread is thrown away; spread is that of the whole reward, not of correctness alone.
    """
    groups: list[Group] = []
    scoring = Scoring(reward)
    num_missing, num_rounds = prompts_per_step, 0
    while num_missing and num_rounds < algorithm.max_rounds:
        problems = source.take(num_missing, excluded=frozenset(group.problem.id for group in groups))
        if not problems:
            break
        seeds = [sample_seed(run_seed, f"step {step}", problem.id) for problem in problems]
        with watch.phase("rollout"):
            sampled = engine.sample(problems, sampling, seeds, on_group=scoring.start)
        with watch.phase("reward"):
            groups += scoring.finish(sampled)
        num_missing = prompts_per_step - sum(map(_has_spread, groups))
        num_rounds += 1
    source.observe(groups)
    kept, replaced = select(groups, prompts_per_step)
    return Rollout(kept, replaced, num_rounds)


def select(groups: Sequence[Group], count: int) -> tuple[tuple[Group, ...], tuple[Group, ...]]:
    """The groups with a spread, filled up to `count` with the first of the others, and the rest.

    A step that finds too few groups with a spread keeps its size that way, and with it the weight of every token.
    """
    num_flat = count - sum(map(_has_spread, groups))
    kept, rest = [], []
    for group in groups:
        if _has_spread(group):
            kept.append(group)
        elif num_flat > 0:
            kept.append(group)
            num_flat -= 1
        else:
            rest.append(group)
    return tuple(kept), tuple(rest)


def _has_spread(group: Group) -> bool:
    return has_spread([item.value for item in group.scores])
