"""The loop. Everything else is called from here, in the order in which data flows."""

from collections.abc import Callable, Sequence

from doubleback.rewards.types import Problem
from doubleback.rl.batching import assign, make_batch
from doubleback.rl.config import AlgorithmConfig, CheckpointConfig, SamplingConfig
from doubleback.rl.engine import Engine
from doubleback.rl.learner import Learner
from doubleback.rl.metrics import rollout_metrics
from doubleback.rl.rundir import RunDirectory
from doubleback.rl.scoring import Reward, Scoring
from doubleback.rl.seeds import problem_batches, sample_seed
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
    problems: Sequence[Problem],
    reward: Reward,
    evaluate: Evaluate,
    observers: Sequence[Observe],
    run: RunDirectory,
    *,
    algorithm: AlgorithmConfig,
    sampling: SamplingConfig,
    checkpoint: CheckpointConfig,
    prompts_per_step: int,
    steps: int,
    seed: int,
) -> None:
    """Train from `learner.step` to `steps`. Every random choice derives from (seed, step, problem, sample)."""
    receipt = sync.push()
    if learner.step == 0:
        run.record(0, (), {**receipt.metrics(), **evaluate(0)}, observers)
    batches = problem_batches(problems, prompts_per_step, seed, start=learner.step + 1)
    for step in range(learner.step + 1, steps + 1):
        watch, scoring, batch_problems = Stopwatch(), Scoring(reward), next(batches)
        seeds = [sample_seed(seed, f"step {step}", problem.id) for problem in batch_problems]
        with watch.phase("rollout"):
            groups = engine.sample(batch_problems, sampling, seeds, on_group=scoring.start)
        with watch.phase("reward"):
            groups = [assign(group, algorithm) for group in scoring.finish(groups)]
            batch = make_batch(groups, algorithm, sampling)
        with watch.phase("update"):
            learned = learner.update(batch)
        with watch.phase("sync"):
            receipt = sync.push()
        metrics = {**rollout_metrics(groups, batch), **learned, **receipt.metrics()}
        metrics |= watch.metrics(metrics["rollout/tokens"], metrics["learner/tokens"])
        run.record(step, groups, {**metrics, **evaluate(step)}, observers)
        if step % checkpoint.every == 0 or step == steps:
            run.save_checkpoint(learner, checkpoint.keep)
