"""The schema of a recipe: the sections of each layer, and the checks that need several of them. Loads no torch."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from doubleback.eval.config import EvalConfig
from doubleback.recipes.recipe.imitation.harvest import HarvestConfig
from doubleback.recipes.recipe.imitation.kinds import kind_findings
from doubleback.recipes.recipe.mixture.config import Mix, Modes, findings, strand_names
from doubleback.recipes.recipe.trackers import TRACKERS
from doubleback.recipes.tasks.task import Task
from doubleback.rewards.compose.config import RewardConfig
from doubleback.rewards.nearest import nearest
from doubleback.rewards.settings import MayChange, Section
from doubleback.rl.config import (
    CheckpointConfig,
    DemonstrationsConfig,
    DistilConfig,
    LoraSettings,
    ModelConfig,
    OptimConfig,
    ProblemsConfig,
    RolloutConfig,
    SamplingConfig,
    SyncConfig,
)
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.objective.config import AlgorithmConfig
from doubleback.rl.objective.presets import DISTIL, PRESETS, SFT
from doubleback.rl.scale import ScaleConfig
from doubleback.rl.types import Sampling

TINY_FOLDER = "tiny"
"""Where a run keeps the model that `tiny: true` puts in the place of its base."""
MOST_COMPLETIONS = 1 << 20
"""Most completions of a step: all of them are held at once."""
MOVED = {
    "optim.prompts_per_step": "rollout.prompts_per_step",
    "algorithm.max_rounds": "rollout.max_rounds",
    "engine.overlap": "rollout.ahead",
    "engine.max_lag": "rollout.max_lag",
}
"""Key of older recipes -> the key that it is now."""


class Recipe(Section):
    """What a recipe may say: the sections of every layer, and the checks between them."""

    description: Annotated[str, Field(min_length=1), MayChange()]
    """One line for `doubleback list`."""
    name: Annotated[Annotated[str, Field(pattern=r"^[^/\\\s]([^/\\]{0,78}[^/\\\s])?$")] | None, MayChange()] = None
    """What the run is called in its default folder and in trackers. `null`: as the recipe, and as its folder."""
    tags: Annotated[list[Annotated[str, Field(min_length=1)]], MayChange()] = []  # noqa: RUF012  (frozen, validated, never shared)
    """Words by which runs are found again: in environment.json, and in trackers."""
    kind: Literal["rl", "sft", "sample", "distil"] = "rl"
    """What a run does. `rl`: it learns from completions that the policy samples, by their rewards. `sft`: from
    completions that are given (demonstrations), each token alike; `algorithm` then starts from the cross-entropy.
    `sample`: it learns nothing, but samples the training problems and keeps what is worth imitating (harvest);
    docs/sft.md has both. `distil`: from completions that it samples, by what a teacher says of each token (distil,
    docs/distil.md)."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Everything random derives from it: adapter, order of problems, samples."""
    steps: Annotated[int, Field(ge=0), MayChange(only_up=True, where=("optim.schedule", "constant"))]
    """Training steps; 0, and nothing to be said, with kind=sample alone."""
    trainer: Literal["doubleback", "trl"] = "doubleback"
    """Who trains. `trl`: the same recipe on trl.GRPOTrainer, as a baseline; a key that it cannot honour is an error."""
    memory_share: Annotated[float, Field(gt=0, le=1), MayChange("a run keeps the sizes that it took")] = 0.5
    """Of the memory that base and adapter leave free, what the sizes on `auto` (optim.microbatch_tokens,
    engine.kv_cache_mib) may fill, by an estimate that a process can exceed. A run states the sizes that it took, and
    keeps them when it is resumed."""
    private: Annotated[bool, MayChange()] = True
    """The run's files are for the user alone to read and to write (umask 077); `false`: as the shell's umask says."""
    tiny: bool = False
    """Replace the base by a random one of the same architecture and a few hundred thousand parameters, to try the
    recipe anywhere in seconds. It learns nothing."""
    data: str | None = None
    """The data set that `task` starts from: a name (doubleback list) or a YAML file (docs/data.md). The recipe's own
    keys win: `task.train=FILE` reads a file with the same fields. `null`: the recipe says all of it."""
    model: ModelConfig
    task: SerializeAsAny[Task]
    reward: RewardConfig
    modes: Modes
    """Ways in which the one adapter is to answer the problems of `task`, as `{on: ..., off: ...}`: each with its own
    prompt, reward and length, trained together and measured apart (docs/modes.md)."""
    mix: Mix
    """Name -> another task that is trained beside `task`, with its own prompt, reward and length (docs/modes.md)."""
    lora: LoraSettings = LoraSettings()
    sampling: SamplingConfig = SamplingConfig()
    algorithm: AlgorithmConfig = AlgorithmConfig()
    demonstrations: DemonstrationsConfig = DemonstrationsConfig()
    harvest: HarvestConfig = HarvestConfig()
    distil: DistilConfig = DistilConfig()
    rollout: RolloutConfig = RolloutConfig()
    problems: ProblemsConfig = ProblemsConfig()
    optim: OptimConfig = OptimConfig()
    engine: EngineConfig = EngineConfig()
    sync: SyncConfig = SyncConfig()
    eval: EvalConfig = EvalConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    scale: ScaleConfig = ScaleConfig()
    trackers: Annotated[list[str], Field(default_factory=list), MayChange()]
    """Experiment trackers that get every step's metrics: `tensorboard` and `trackio` (local, without an account),
    `wandb`. docs/trackers.md says where each keeps them."""

    @property
    def step_completions(self) -> int:
        """How many completions a step learns from."""
        return self.rollout.prompts_per_step * self.learned_sampling.group_size

    @property
    def learned_sampling(self) -> Sampling:
        """How what the learner gets was drawn: given completions come one a problem, and as they are, temperature 1."""
        sampling = self.sampling.sampling()
        longest = self.model.max_length - 1
        return Sampling(1, temperature=1.0, max_tokens=longest) if self.kind == "sft" else sampling

    @property
    def num_engine_processes(self) -> int:
        """How many engines have a process of their own on this machine, without a cluster; 0 where the one there is
        shares the trainer's.
        """
        if self.scale.cluster_key is not None:
            return 0
        return self.engine.processes if self.rollout.ahead or self.engine.processes > 1 else 0

    @property
    def num_processes(self) -> int:
        """How many processes of the run compute, without a cluster: the trainer, engines and gradient workers."""
        return 1 if self.scale.cluster_key is not None else 1 + self.num_engine_processes + self.scale.trainers

    @property
    def held_tokens(self) -> int:
        """How many tokens of prompts and completions a step holds at most."""
        is_shared = self.optim.pack and self.optim.share_prompts
        learned = self.learned_sampling
        num_prompts = self.rollout.prompts_per_step * (1 if is_shared else learned.group_size)
        sampled = self.step_completions * learned.max_tokens
        return sampled + num_prompts * (self.model.max_length - learned.max_tokens)

    @field_validator("trackers")
    @classmethod
    def _trackers_are_known(cls, names: list[str]) -> list[str]:
        if unknown := [name for name in names if name not in TRACKERS]:
            raise ValueError(f"trackers={unknown[0]} is no tracker; {nearest(unknown[0], TRACKERS)}")
        return names

    @model_validator(mode="before")
    @classmethod
    def _keys_have_moved(cls, data: Any) -> Any:
        """Name the new place of a key that stood elsewhere in recipes that people have."""
        lines = [
            f"{old}={data[section][key]} is {new} now; write it there"
            for old, new in MOVED.items()
            for section, key in [old.split(".")]
            if isinstance(data, dict) and isinstance(data.get(section), dict) and key in data[section]
        ]
        if lines:
            raise ValueError("\n".join(lines))
        return data

    @model_validator(mode="before")
    @classmethod
    def _start_from_preset_and_lag(cls, data: Any) -> Any:
        """What algorithm.preset says of the section rollout; and with rollout.ahead the ratio is to the sampler, so
        that the clip bounds what lags. What the recipe says itself wins.
        """
        if not isinstance(data, dict):
            return data
        match data.get("algorithm"), data.get("rollout", {}):
            case {"preset": str(preset)}, {**given} if preset in PRESETS:
                data = {**data, "rollout": {**PRESETS[preset].rollout, **given}}
        match data, data.get("algorithm", {}):
            case {"kind": "sample"}, _:
                return {"steps": 0, **data}
            case {"kind": "sft"}, {**given}:
                return {**data, "algorithm": {**SFT, **given}}
            case {"kind": "distil"}, {**given}:
                lagging = {"old_logprobs": "sampler"} if data.get("rollout", {}).get("ahead") is True else {}
                return {**data, "algorithm": {**DISTIL, **lagging, **given}}
            case {"rollout": {"ahead": True}}, {**given}:
                return {**data, "algorithm": {"old_logprobs": "sampler", **given}}
        return data

    @model_validator(mode="after")
    def _rounds_replace_what_is_dropped(self) -> "Recipe":
        if self.rollout.max_rounds > 1 and not self.algorithm.drop_zero_variance:
            raise ValueError(
                f"rollout.max_rounds={self.rollout.max_rounds} replaces the groups that "
                "algorithm.drop_zero_variance=false keeps; leave the second at true or set the first to 1"
            )
        return self

    @model_validator(mode="after")
    def _sections_are_of_the_kind(self) -> "Recipe":
        if lines := list(kind_findings(self)):
            raise ValueError("\n".join(lines))
        return self

    @model_validator(mode="after")
    def _strands_go_together(self) -> "Recipe":
        if lines := list(findings(self)):
            raise ValueError("\n".join(lines))
        return self

    @model_validator(mode="after")
    def _step_is_held(self) -> "Recipe":
        if (number := self.step_completions) > MOST_COMPLETIONS:
            raise ValueError(
                f"rollout.prompts_per_step={self.rollout.prompts_per_step} * sampling.group_size="
                f"{self.sampling.group_size} are {number:,} completions a step, which holds "
                f"{MOST_COMPLETIONS:,} at most; lower one of the two"
            )
        return self

    @model_validator(mode="after")
    def _every_shard_has_a_group(self) -> "Recipe":
        if self.scale.shards > self.rollout.prompts_per_step:
            raise ValueError(
                f"scale.shards={self.scale.shards} cuts a step by whole groups, and rollout.prompts_per_step="
                f"{self.rollout.prompts_per_step} are fewer; lower the first or raise the second"
            )
        return self

    @model_validator(mode="after")
    def _engines_are_in_one_place(self) -> "Recipe":
        if self.scale.cluster_key is not None and self.engine.processes > 1:
            raise ValueError(
                f"engine.processes={self.engine.processes} are processes of this machine, and scale."
                f"{self.scale.cluster_key} asks for a cluster; set scale.engines={self.engine.processes} in its place"
            )
        return self

    @model_validator(mode="after")
    def _schedule_has_steps(self) -> "Recipe":
        if self.optim.schedule != "constant" and self.optim.warmup_steps >= self.steps:
            raise ValueError(
                f"optim.warmup_steps={self.optim.warmup_steps} leaves no step of steps={self.steps} in which "
                f"optim.schedule={self.optim.schedule} could fall; lower the first or set the last to constant"
            )
        return self

    @model_validator(mode="after")
    def _best_is_measured_and_saved(self) -> "Recipe":
        if (best := self.checkpoint.best) is None:
            return self
        own = ["validation", *(f"validation-{name}" for name in strand_names(self))]
        suites = [*own, *(Path(suite).stem for suite in self.eval.suites)]
        if (suite := best.split("/")[1]) not in suites:
            ways_out = ", ".join(f"eval/{name}/" for name in suites)
            raise ValueError(f"checkpoint.best={best}: {suite} is not measured; take one of {ways_out}")
        if self.eval.every % self.checkpoint.every:
            raise ValueError(
                f"checkpoint.best={best} needs a checkpoint of every step that is measured, and checkpoint.every="
                f"{self.checkpoint.every} does not divide eval.every={self.eval.every}; set the first to the second"
            )
        return self

    @model_validator(mode="after")
    def _completion_fits_the_context(self) -> "Recipe":
        if self.sampling.max_tokens >= self.model.max_length:
            raise ValueError(
                f"sampling.max_tokens={self.sampling.max_tokens} leaves no room for a prompt in "
                f"model.max_length={self.model.max_length}; lower the first or raise the second"
            )
        return self
