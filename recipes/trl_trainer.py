"""The same recipe on TRL's own trainer: a baseline, and a way over. Through its public API alone.

Same problems in the same order, prompts, reward, adapter, sampling and hyperparameters (`recipes.trl_mapping`), and the
same run directory. TRL generates with transformers: its vLLM modes cannot take an adapter on a CPU. This is the only
module that imports trl.
"""

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from transformers import PrinterCallback, TrainerCallback

from doubleback.recipes.assembly import Scored
from doubleback.recipes.schema import Recipe
from doubleback.recipes.trl_mapping import arguments
from doubleback.rewards.types import Completion, ConfigError, Problem, Verdict
from doubleback.rl import lora
from doubleback.rl.delivery import MERGED
from doubleback.rl.engine import Engine, completion_text, create_engine
from doubleback.rl.model import base_tensors, is_cuda, load_base, load_tokenizer
from doubleback.rl.problems import ProblemSource
from doubleback.rl.rundir import RunDirectory, step_name
from doubleback.rl.seeds import sample_seed
from doubleback.rl.types import Group

NAMES = {
    "reward": "reward/mean",
    "loss": "learner/loss",
    "grad_norm": "learner/grad_norm",
    "learning_rate": "learner/lr",
    "entropy": "learner/entropy",
    "completions/mean_length": "rollout/mean_tokens",
    "completions/max_length": "rollout/max_tokens",
    "completions/clipped_ratio": "rollout/truncated",
    "frac_reward_zero_std": "rollout/zero_variance",
}
"""What TRL logs -> our name, where both mean the same."""
Evaluator = Callable[[Engine], Callable[[int], dict[str, float]]]
Observers = Sequence[Callable[[int, dict[str, float]], None]]


def train_with_trl(
    recipe: Recipe, known: Scored, run: RunDirectory, evaluator: Evaluator, observers: Observers, console: Console
) -> None:
    """Train, evaluate before and after, and leave the adapter as a checkpoint. ConfigError for what TRL cannot do."""
    options = arguments(recipe)
    try:
        from trl import GRPOConfig, GRPOTrainer
    except ImportError as error:
        raise ConfigError("trainer=trl needs the package trl: pip install 'trl>=1.16,<1.17'") from error
    from datasets import Dataset

    tokenizer = load_tokenizer(known.model.path)
    with console.status(f"starting {recipe.engine.name} and TRL"):
        base = load_base(known.model)
        tensors = base_tensors(base)
        settings = lora.peft_config(base, recipe.lora)
        source = ProblemSource(known.splits.train, recipe.problems, recipe.seed)
        problems = source.take(recipe.steps * recipe.optim.prompts_per_step)
        scorer = TrlReward(recipe, known, problems, tokenizer)
        trainer = GRPOTrainer(
            model=base,
            reward_funcs=scorer,
            args=GRPOConfig(output_dir=str(run.path / "trl"), use_cpu=not is_cuda(), **options),
            train_dataset=Dataset.from_list(
                [{"prompt": problem.prompt, "number": number} for number, problem in enumerate(problems)]
            ),
            processing_class=tokenizer,
            peft_config=settings,
        )
        engine = create_engine(recipe.engine, known.model, tensors, tokenizer, strategy=MERGED)
    try:
        updates = recipe.algorithm.updates_per_batch
        recorder = Recorder(trainer.model, engine, evaluator(engine), scorer, run, observers, updates)
        trainer.add_callback(recorder)
        trainer.remove_callback(PrinterCallback)
        recorder.record(0, {})
        trainer.train()
        lora.save(trainer.model, run.path / "checkpoints" / step_name(recipe.steps))
    finally:
        engine.close()


class TrlReward:
    """The recipe's reward with TRL's signature; keeps the scored groups of the step."""

    __name__ = "doubleback"

    def __init__(self, recipe: Recipe, known: Scored, problems: Sequence[Problem], tokenizer: Any) -> None:
        self._recipe, self._reward, self._problems, self._tokenizer = recipe, known.reward, problems, tokenizer
        self.groups: list[Group] = []

    def __call__(self, completion_ids: list[list[int]], number: list[int], **_: Any) -> list[float | None]:
        rows = list(zip(number, completion_ids, strict=True))
        for index, part in groupby(rows, key=lambda row: row[0]):
            problem = self._problems[index]
            step = index // self._recipe.optim.prompts_per_step + 1
            # TRL samples by a generator of its own; these are the names that seeds have here, for rewards that ask.
            seed = sample_seed(self._recipe.seed, f"step {step}", problem.id)
            completions = tuple(self._completion(ids, step, seed + sample) for sample, (_, ids) in enumerate(part))
            scores = tuple(self._reward.start(problem, completions)())
            prompt_ids = tuple(self._tokenizer(problem.prompt)["input_ids"])
            self.groups.append(Group(problem, prompt_ids, completions, scores))
        self._reward.refuse_faults(
            [
                (group.problem, completion, score)
                for group in self.groups
                for completion, score in zip(group.completions, group.scores, strict=True)
            ]
        )
        latest = self.groups[-len({index for index, _ in rows}) :]
        return [score.value for group in latest for score in group.scores]

    def _completion(self, ids: list[int], step: int, seed: int) -> Completion:
        has_ended = bool(ids) and ids[-1] == self._tokenizer.eos_token_id
        return Completion(
            text=completion_text(ids, self._tokenizer),
            token_ids=tuple(ids),
            sampler_logprobs=(),  # TRL does not hand them out
            finish_reason="stop" if has_ended else "length",
            policy_version=step - 1,
            adapter_hash="trl",
            seed=seed,
        )


class Recorder(TrainerCallback):  # type: ignore[misc]
    """Writes our lines from TRL's, and evaluates with our engine."""

    def __init__(
        self,
        model: Any,
        engine: Engine,
        evaluate: Callable[[int], dict[str, float]],
        scorer: TrlReward,
        run: RunDirectory,
        observers: Observers,
        updates_per_batch: int,
    ) -> None:
        self._updates = updates_per_batch
        self._model, self._engine, self._evaluate = model, engine, evaluate
        self._scorer, self._run, self._observers = scorer, run, observers
        self._start = self._seconds = 0.0
        self._logged: dict[str, float] = {}

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._start = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._seconds += time.perf_counter() - self._start

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        if "loss" not in logs:  # TRL's last words are a summary of the run
            return
        # What is logged of the rollouts comes with a batch's first update, the learner's side with each.
        self._logged |= {ours: float(logs[name]) for name, ours in NAMES.items() if name in logs}
        if state.global_step % self._updates == 0:
            logged, self._logged = self._logged, {}
            self.record(state.global_step // self._updates, logged)

    def record(self, step: int, metrics: dict[str, float]) -> None:
        """One line: the step's metrics, its time, and the evaluation where one is due."""
        groups, self._scorer.groups = self._scorer.groups, []
        scores = [score for group in groups for score in group.scores]
        if scores:
            correct = sum(score.verdict == Verdict.CORRECT for score in scores)
            metrics |= {"verdict/correct": correct / len(scores), "seconds/step": self._seconds}
            metrics["rollout/num_completions"] = float(len(scores))
            metrics["rollout/tokens"] = float(sum(len(it.token_ids) for group in groups for it in group.completions))
        self._seconds = 0.0
        self._engine.load_adapter(lora.export(self._model), version=step)
        self._run.record(step, groups, {**metrics, **self._evaluate(step)}, self._observers)
