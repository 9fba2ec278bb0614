"""The schema of a recipe: the sections of each layer, and the checks that need several of them. Loads no torch."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from doubleback.eval.config import EvalConfig
from doubleback.rewards.compose import RewardConfig
from doubleback.rl.config import (
    AlgorithmConfig,
    CheckpointConfig,
    EngineConfig,
    LoraSettings,
    ModelConfig,
    OptimConfig,
    SamplingConfig,
    Section,
    SyncConfig,
)


class TaskConfig(Section):
    name: Literal["countdown"] = "countdown"
    """Where the problems come from."""
    num_numbers: Annotated[int, Field(ge=3, le=4)] = 3
    """Countdown: numbers per problem; 4 is the harder setting."""


class Recipe(Section):
    description: Annotated[str, Field(min_length=1)]
    """One line for `doubleback list`."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Everything random derives from it: adapter, order of problems, samples."""
    steps: Annotated[int, Field(ge=1)]
    """Training steps."""
    model: ModelConfig
    task: TaskConfig = TaskConfig()
    reward: RewardConfig = RewardConfig()
    lora: LoraSettings = LoraSettings()
    sampling: SamplingConfig = SamplingConfig()
    algorithm: AlgorithmConfig = AlgorithmConfig()
    optim: OptimConfig = OptimConfig()
    engine: EngineConfig = EngineConfig()
    sync: SyncConfig = SyncConfig()
    eval: EvalConfig = EvalConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    trackers: Annotated[list[Literal["tensorboard", "wandb"]], Field(default_factory=list)]
    """Experiment trackers that get every step's metrics, through accelerate."""

    @model_validator(mode="after")
    def _completion_fits_the_context(self) -> "Recipe":
        if self.sampling.max_tokens >= self.model.max_length:
            raise ValueError(
                f"sampling.max_tokens={self.sampling.max_tokens} leaves no room for a prompt in "
                f"model.max_length={self.model.max_length}; lower the first or raise the second"
            )
        return self
