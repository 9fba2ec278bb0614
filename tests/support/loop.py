"""A run of the loop in a second: a fake engine and a fake reward around a real learner, sync, journal and folder."""

import random
import threading
from dataclasses import replace

from doubleback.rewards.types import Problem
from doubleback.rl.config import CheckpointConfig, OptimConfig, ProblemsConfig, RolloutConfig, SyncConfig
from doubleback.rl.learner.learner import ALL_PARTS, Learner
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.rollout.pace import Pace
from doubleback.rl.rollout.prefetch import Rollouts
from doubleback.rl.rollout.problems import ProblemSource
from doubleback.rl.rollout.sampler import RolloutSampler
from doubleback.rl.run.directory import RunDirectory
from doubleback.rl.run.journal import Checkpoints, Journal
from doubleback.rl.sync import AdapterSync, draw_canaries
from doubleback.rl.train import train
from doubleback.rl.types import Sampling
from support.fakes import FakeEngine, FakeReward
from support.rollouts import EOS, FIRST_WORD, NUM_WORDS, make_completion, make_score

SAMPLING = Sampling(group_size=4, temperature=1.0, max_tokens=6)
PROBLEMS = [Problem(f"p{index}", f"{index} 2 3 -> 5") for index in range(7)]


class LoopEngine(FakeEngine):
    """Samples words by seed alone, scores as the learner does, and writes down what it is asked, in order."""

    def __init__(self, learner, hold_seconds=0.0):
        super().__init__(self._completions, prompt_ids=(1, 5, 6))
        self.events = []
        self._learner, self._hold_seconds = learner, hold_seconds
        self._parts, self._version, self._adapter_hash = frozenset(), 0, "base"
        self._is_sampling = False
        self._pushed = threading.Event()

    @property
    def serves(self):
        """The step of the adapter that was loaded last."""
        return self._version

    def load_adapter(self, adapter, version):
        self.events.append("push while sampling" if self._is_sampling else f"push {version}")
        self._pushed.set()
        self._parts, self._version, self._adapter_hash = ALL_PARTS, version, adapter.hash

    def sample(self, problems, sampling, seeds, on_group=None):
        self._is_sampling = True
        self.events.append(f"sample of {self._version}")
        self._sampled = {"policy_version": self._version, "adapter_hash": self._adapter_hash}
        if self._hold_seconds and threading.current_thread() is not threading.main_thread():
            self._pushed.clear()
            self._pushed.wait(self._hold_seconds)  # a push that does not wait comes in this time
        groups = super().sample(problems, sampling, seeds, on_group)
        self._is_sampling = False
        return groups

    def _completions(self, problem, seed, num_samples):
        return [replace(_completion(seed + sample), **self._sampled) for sample in range(num_samples)]

    def score(self, sequences):
        return self._learner.score(sequences, self._parts)


def _completion(seed):
    rng = random.Random(seed)
    words = [rng.randrange(FIRST_WORD, NUM_WORDS) for _ in range(rng.randint(1, 5))]
    return replace(make_completion([*words, EOS]), seed=seed)


def _pay(problem, completions):
    """An even first word is paid for."""
    return [make_score(float(completion.token_ids[0] % 2 == 0)) for completion in completions]


class Loop:
    """The parts of a run in `folder`, put together as a recipe does."""

    def __init__(
        self,
        model,
        folder,
        *,
        algorithm=None,
        rollout=None,
        checkpoint=None,
        last_step=4,
        hold_seconds=0.0,
        lr=1e-2,
        num_problems=7,
        optim=None,
        evaluate=lambda step: {"eval/test/pass@1": step / 10},
        measured_at=(),
    ):
        algorithm = AlgorithmConfig(**algorithm or {})
        self.learner = Learner(
            model, algorithm, OptimConfig(**{"lr": lr, "warmup_steps": 0} | (optim or {})), SAMPLING, last_step
        )
        self.engine = LoopEngine(self.learner, hold_seconds)
        self.problems = ProblemSource(PROBLEMS[:num_problems], ProblemsConfig(), 0)
        self.run = RunDirectory(folder)
        self.seen = []
        self.reward = FakeReward(_pay)
        config = RolloutConfig(prompts_per_step=3, **rollout or {})
        saved = CheckpointConfig(**checkpoint or {})
        self._sampler = RolloutSampler(self.engine, self.problems, self.reward, SAMPLING, config, run_seed=0)
        self._pace = Pace(config, 0, lambda step: saved.is_due(step, last_step), lambda step: step in measured_at)
        checkpoints = Checkpoints(self.learner, saved, last_step)
        self.journal = Journal(
            self.run,
            checkpoints,
            evaluate,
            [lambda step, _: self.seen.append(step)],
        )

    def train(self, steps):
        """Through `steps`, counted from 1. The canaries are drawn before the first push."""
        canaries = draw_canaries(self.engine, PROBLEMS[:2], SyncConfig(), seed=0, num_completions=1000, max_tokens=10)
        pace = replace(self._pace, start=self.learner.step)
        self.rollouts = Rollouts(self._sampler, pace)
        sync = AdapterSync(self.engine, self.learner, canaries, SyncConfig(), "float32", pace.delivers)
        self.engine.events.clear()
        train(self.learner, self.rollouts, sync, self.journal, steps)
        return self.run.metrics_lines()
