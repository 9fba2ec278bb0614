"""The rollouts of one step: sampled and scored, in one round or until every group has something to teach."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from doubleback.rl.config import RolloutConfig
from doubleback.rl.engines.engine import Sampler
from doubleback.rl.objective.advantages import has_spread
from doubleback.rl.rollout.problems import Source
from doubleback.rl.rollout.scoring import Scorer, Scoring
from doubleback.rl.rollout.standing import replica_metrics, standing_of
from doubleback.rl.seeds import sample_seeds
from doubleback.rl.stopwatch import Stopwatch
from doubleback.rl.types import Group, Sampling


@dataclass(frozen=True, slots=True)
class Rollout:
    """Scored groups of one step.

    For example rollout.prompts_per_step=2 and rollout.max_rounds=2, where the second of the first two problems had four
    equal rewards: `groups` are those of the first and of a third problem, `replaced` the one of the second, and
    `num_rounds` is 2.
    """

    groups: tuple[Group, ...]
    """What the step learns from, prompts_per_step of them unless the problems ran out, in the order of sampling."""
    replaced: tuple[Group, ...] = ()
    """Groups without spread in whose place others were sampled."""
    num_rounds: int = 1
    """Calls of the engine."""
    lag: float = 0.0
    """Mean steps between the adapter that sampled and the one that learns."""
    problem_metrics: Mapping[str, float] = field(default_factory=dict)
    """Where filter and curriculum stand after these groups; empty without them."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Phase -> what it took: rollout, reward."""
    source_state: Mapping[str, Any] = field(default_factory=dict)
    """`Source.state()` after these groups: what a checkpoint of the step holds, though more is sampled ahead."""
    sampled_at: float = math.nan
    """`time.perf_counter()` when the sampling began."""
    replica_metrics: Mapping[str, float] = field(default_factory=dict)
    """How the engine's replicas stood, where it has several: group fleet/ of the metrics."""
    queue_seconds: float = 0.0
    """How long the step had to wait for it, though it was begun before the step."""


class RolloutSampler:
    """Makes the rollout of a step. Every random choice derives from (run seed, step, problem,
    how often it stood in the step before, sample).
    """

    def __init__(
        self,
        engine: Sampler,
        source: Source,
        scorer: Scorer,
        sampling: Sampling,
        config: RolloutConfig,
        run_seed: int,
    ) -> None:
        self._engine, self._source, self._scorer = engine, source, scorer
        self._sampling, self._config, self._run_seed = sampling, config, run_seed

    def __call__(self, step: int) -> Rollout:
        """Sample and score a step's problems; with max_rounds > 1 go on in place of groups without spread.

        DAPO's dynamic sampling (arXiv:2503.14476, eq. 11), with other habits: a round samples only as many problems as
        are missing, so that nothing with a spread is thrown away; spread is that of the whole reward, not of
        correctness alone.
        """
        count = self._config.prompts_per_step
        groups: list[Group] = []
        scoring, watch = Scoring(self._scorer), Stopwatch()
        num_missing, num_rounds = count, 0
        stood = standing_of(self._engine)
        while num_missing and num_rounds < self._config.max_rounds:
            problems = self._source.take(num_missing, excluded=frozenset(group.problem.id for group in groups))
            if not problems:
                break
            ids, before = ([item.id for item in problems], [group.problem.id for group in groups])
            seeds = sample_seeds(self._run_seed, f"step {step}", ids, before)
            with watch.phase("rollout"):
                sampled = self._engine.sample(problems, self._sampling, seeds, on_group=scoring.start)
            with watch.phase("reward"):
                groups += scoring.finish(sampled)
            num_missing = count - sum(map(_has_spread, groups))
            num_rounds += 1
        self._source.observe(groups)
        kept, replaced = select(groups, count)
        return Rollout(
            kept,
            replaced,
            num_rounds,
            problem_metrics=self._source.metrics(),
            seconds=dict(watch.seconds),
            source_state=self._source.state(),
            replica_metrics=replica_metrics(stood, standing_of(self._engine), watch.seconds.get("rollout", 0.0)),
        )


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
