"""The loop. Everything else is called from here, in the order in which data flows."""

from collections.abc import Callable, Sequence
from contextlib import closing

from doubleback.rl.config import CheckpointConfig, EngineConfig, SamplingConfig
from doubleback.rl.engines.engine import Engine
from doubleback.rl.learner.batching import assign, make_batch
from doubleback.rl.learner.learner import Learner
from doubleback.rl.learner.penalty import penalise
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.rollout.prefetch import Rollouts, require_lag
from doubleback.rl.rollout.problems import ProblemSource
from doubleback.rl.rollout.sampler import Rollout, roll_out
from doubleback.rl.rollout.scoring import Reward
from doubleback.rl.run.directory import RunDirectory
from doubleback.rl.run.metrics import rollout_metrics
from doubleback.rl.stopwatch import Stopwatch
from doubleback.rl.sync import AdapterSync

Evaluate = Callable[[int], dict[str, float]]
"""Step -> metrics of group eval/, empty where the step is not due."""
Observe = Callable[[int, dict[str, float]], None]
"""Called with every step's metrics once they are on disk: progress bars, trackers."""


def train(
    learner: Learner,
    engine: Engine,
    sync: AdapterSync,
    problems: ProblemSource,
    reward: Reward,
    evaluate: Evaluate,
    observers: Sequence[Observe],
    run: RunDirectory,
    *,
    algorithm: AlgorithmConfig,
    sampling: SamplingConfig,
    ahead: EngineConfig,
    checkpoint: CheckpointConfig,
    prompts_per_step: int,
    steps: int,
    seed: int,
) -> None:
    """Train from `learner.step` to `steps`. Every random choice derives from (seed, step, problem, sample)."""

    def sample(step: int, watch: Stopwatch) -> Rollout:
        return roll_out(engine, problems, reward, algorithm, sampling, prompts_per_step, seed, step, watch)

    receipt = sync.push()
    if learner.step == 0:
        run.record(0, (), {**receipt.metrics(), **evaluate(0)}, observers)
    with closing(Rollouts(sample)) as rollouts:
        for step in range(learner.step + 1, steps + 1):
            watch, is_saved = Stopwatch(), checkpoint.is_due(step, steps)
            rollout = rollouts.take(step, watch)
            lag = require_lag(rollout.groups, learner.step, ahead.max_lag)
            if ahead.overlap and not is_saved:
                rollouts.begin(step + 1)
            with watch.phase("reward"):
                groups = assign(penalise(rollout.groups, learner, algorithm, sampling.temperature), algorithm)
                batch = make_batch(groups, algorithm, sampling)
            with watch.phase("update"):
                learned = learner.update(batch)
            with watch.phase("wait"):
                rollouts.wait()
            with watch.phase("sync"):
                receipt = sync.push()
            sampled = [*groups, *rollout.replaced]
            metrics = rollout_metrics(sampled, batch, rollout.num_rounds) | {"rollout/lag": lag} | problems.metrics()
            metrics |= {**learned, **receipt.metrics()}
            metrics |= watch.metrics(metrics["rollout/tokens"], metrics["learner/tokens"])
            run.record(step, sampled, {**metrics, **evaluate(step)}, observers)
            if is_saved:
                run.save_checkpoint(learner, problems, checkpoint.keep)
