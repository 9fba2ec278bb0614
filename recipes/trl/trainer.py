"""The same recipe on TRL's own trainer: a baseline, and a way over. Through its public API alone.

Same problems in the same order, prompts, reward, initial adapter, optimiser, rates, sampling and hyperparameters
(`recipes.trl.mapping`), and the same run directory. TRL generates with transformers: its vLLM modes cannot take an
adapter on a CPU. This is the only module that imports trl.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from torch.nn.utils import get_total_norm
from torch.optim.lr_scheduler import LambdaLR
from transformers import PrinterCallback, TrainerCallback

from doubleback.recipes.recipe.assembly import Prepared
from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.trl.mapping import arguments
from doubleback.rewards.types import Completion, ConfigError, Problem
from doubleback.rl.engines.engine import completion_text
from doubleback.rl.learner.finite import require_finite
from doubleback.rl.learner.learner import Learner
from doubleback.rl.policy.base import is_cuda, load_tokenizer
from doubleback.rl.rollout.problems import Source
from doubleback.rl.rollout.sampler import Rollout
from doubleback.rl.rollout.scoring import Scorer, Scoring
from doubleback.rl.run.journal import Journal, StepReport
from doubleback.rl.seeds import sample_seeds
from doubleback.rl.stopwatch import Stopwatch
from doubleback.rl.sync import AdapterSync
from doubleback.rl.types import Group

NAMES = {
    "loss": "learner/loss",
    "grad_norm": "learner/grad_norm",
    "learning_rate": "learner/lr",
    "entropy": "learner/entropy",
    "kl": "learner/kl_ref",
    "clip_ratio/low_mean": "learner/clip_low",
    "clip_ratio/high_mean": "learner/clip_high",
}
"""What TRL logs of an update -> our name, where both mean the same. Everything about rollouts is counted here."""


def with_peft_experts(recipe: Recipe) -> Recipe:
    """The recipe with experts computed as TRL's users have them."""
    return recipe.model_copy(update={"lora": recipe.lora.model_copy(update={"expert_compute": "peft"})})


def refuse(recipe: Recipe, longest_prompt: int, resume: bool = False) -> None:
    """ConfigError for what TRL cannot do, or where it is not installed."""
    if resume:
        raise ConfigError("--resume: trainer=trl cannot continue exactly, so it does not; start a new run")
    arguments(recipe, longest_prompt)
    try:
        import trl  # noqa: F401
    except ImportError as error:
        raise ConfigError("trainer=trl needs the package trl: pip install 'trl>=1.16,<1.17'") from error


@dataclass(frozen=True, slots=True)
class TrlRun:
    """What a run on TRL is made of: what `rl.train.train` takes, and the problems and reward that TRL samples by."""

    recipe: Recipe
    prepared: Prepared
    learner: Learner
    problems: Source
    sync: AdapterSync
    journal: Journal


def train_with_trl(run: TrlRun) -> None:
    """Train the learner's adapter with its optimiser by TRL; after each step as `rl.train` does: push with receipt,
    evaluate, write the step's line, save.
    """
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    recipe, learner = run.recipe, run.learner
    updates = recipe.algorithm.updates_per_batch
    count = recipe.steps * recipe.rollout.prompts_per_step
    ahead = deepcopy(run.problems).take(count)  # TRL wants all of them at once
    scorer = TrlReward(recipe, run.prepared.reward, ahead, load_tokenizer(run.prepared.model.path))
    schedule = LambdaLR(learner.optimiser, lambda update: learner.share_of_peak(update // updates + 1))
    with TemporaryDirectory() as folder:  # TRL insists on one; what it would save there is saved by the recorder
        trainer = GRPOTrainer(
            model=learner.model,
            reward_funcs=scorer,
            args=GRPOConfig(output_dir=folder, use_cpu=not is_cuda(), **arguments(recipe, run.prepared.longest_prompt)),
            train_dataset=Dataset.from_list(
                [{"prompt": problem.prompt, "number": number} for number, problem in enumerate(ahead)]
            ),
            processing_class=scorer.tokenizer,
            optimizers=(learner.optimiser, schedule),
        )
        trainer.add_callback(Recorder(run, scorer))
        trainer.remove_callback(PrinterCallback)
        run.journal.start(run.sync.push())
        trainer.train()


class TrlReward:
    """The recipe's reward with TRL's signature. Keeps the scored groups of the step, and when it began and ended."""

    __name__ = "doubleback"

    def __init__(self, recipe: Recipe, reward: Scorer, problems: Sequence[Problem], tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.groups: list[Group] = []
        self.began = self.ended = 0.0
        self._recipe, self._reward, self._problems = recipe, reward, problems
        count = recipe.rollout.prompts_per_step
        # TRL samples by a generator of its own; these are the names that seeds have here, for rewards that ask.
        self._seeds = [
            seed
            for start in range(0, len(problems), count)
            for ids in [[problem.id for problem in problems[start : start + count]]]
            for seed in sample_seeds(recipe.seed, f"step {start // count + 1}", ids)
        ]

    def __call__(self, completion_ids: list[list[int]], number: list[int], **_: Any) -> list[float | None]:
        """The rewards of one step's completions, which it keeps as groups too."""
        self.began = time.perf_counter()
        rows = zip(number, completion_ids, strict=True)
        groups = [self._group(index, [ids for _, ids in part]) for index, part in groupby(rows, key=itemgetter(0))]
        scoring = Scoring(self._reward)
        for position, group in enumerate(groups):
            scoring.start(position, group)
        self.groups = scoring.finish(groups)
        self.ended = time.perf_counter()
        return [score.value for group in self.groups for score in group.scores]

    def _group(self, index: int, samples: Sequence[list[int]]) -> Group:
        problem, step = self._problems[index], index // self._recipe.rollout.prompts_per_step + 1
        seeds = range(self._seeds[index], self._seeds[index] + len(samples))
        completions = tuple(self._completion(ids, step, seed) for ids, seed in zip(samples, seeds, strict=True))
        return Group(problem, tuple(self.tokenizer(problem.prompt)["input_ids"]), completions)

    def _completion(self, ids: list[int], step: int, seed: int) -> Completion:
        ends = (self.tokenizer.eos_token_id,)  # the one end that TRL knows
        return Completion(
            text=completion_text(ids, self.tokenizer, ends),
            token_ids=tuple(ids),
            sampler_logprobs=(),  # TRL does not hand them out
            finish_reason="stop" if ids and ids[-1] in ends else "length",
            policy_version=step - 1,
            adapter_hash="trl",
            seed=seed,
        )


class Recorder(TrainerCallback):  # type: ignore[misc]
    """After the last update of a batch: what `rl.train` does after its own."""

    def __init__(self, run: TrlRun, scorer: TrlReward) -> None:
        self._run, self._scorer = run, scorer
        self._watch, self._start = Stopwatch(), 0.0
        self._logged: dict[str, list[float]] = defaultdict(list)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """An update begins, and with a batch's first its generation."""
        self._start = time.perf_counter()
        if self._is_due(state.global_step):
            self._watch = Stopwatch()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The gradient is clipped, the optimiser has not moved: RunError unless it is finite."""
        parameters = self._run.learner.model.parameters()
        norm = get_total_norm([item.grad for item in parameters if item.grad is not None])
        require_finite(self._run.learner.step + 1, {"the gradient's norm": float(norm)})

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell generation, rewards and update apart by the call of the reward in between."""
        start, end, scorer = self._start, time.perf_counter(), self._scorer
        if scorer.began > start:
            self._watch.count("rollout", scorer.began - start)
            self._watch.count("reward", scorer.ended - scorer.began)
            start = scorer.ended
        self._watch.count("update", end - start)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        """Each update's figures; a batch's last brings the line of the step."""
        if "loss" not in logs:  # TRL's last words are a summary of the run
            return
        for name in NAMES.keys() & logs.keys():
            self._logged[NAMES[name]].append(float(logs[name]))
        if self._is_due(state.global_step):
            learned = {name: fmean(values) for name, values in self._logged.items()}
            require_finite(self._run.learner.step + 1, {"the loss": learned["learner/loss"]})
            self._logged.clear()
            self._record(learned)
            control.should_training_stop = self._run.journal.has_stalled() or control.should_training_stop

    def _is_due(self, update: int) -> bool:
        return update % self._run.recipe.algorithm.updates_per_batch == 0

    def _record(self, learned: dict[str, float]) -> None:
        run, recipe, learner = self._run, self._run.recipe, self._run.learner
        learner.step += 1
        learner.require_finite_state("it is not pushed to the engine")
        run.problems.take(recipe.rollout.prompts_per_step)  # what a checkpoint has to know
        batch = learner.batch(self._scorer.groups)
        num_tokens = sum(len(item.token_ids) for group in batch.groups for item in group.completions)
        learned["learner/tokens"] = float(num_tokens * recipe.algorithm.updates_per_batch)
        learned["seconds/update"] = self._watch.seconds["update"]
        rollout = Rollout(batch.groups, seconds=self._watch.seconds, source_state=run.problems.state())
        run.journal.record(StepReport(learner.step, rollout, batch, learned, run.sync.push()))
