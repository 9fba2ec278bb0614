"""TensorBoard and Weights & Biases, through accelerate's trackers. Off unless the recipe names them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from doubleback.recipes.recipe.schema import Recipe
from doubleback.rewards.types import ConfigError

Track = Callable[[int, dict[str, float]], None]


@contextmanager
def start_trackers(recipe: Recipe, out: Path) -> Iterator[Track]:
    """Within the block, a function that sends one step's metrics to every tracker of the recipe.

    ConfigError names a tracker whose package is not installed.
    """
    if not recipe.trackers:
        yield lambda step, metrics: None
        return
    from accelerate import Accelerator
    from accelerate.utils import is_tensorboard_available, is_wandb_available

    installed = {"tensorboard": is_tensorboard_available(), "wandb": is_wandb_available()}
    if missing := [name for name in recipe.trackers if not installed[name]]:
        raise ConfigError(
            f"trackers: {missing[0]} is not installed; pip install {missing[0]} or drop it from the recipe"
        )
    accelerator = Accelerator(log_with=list(recipe.trackers), project_dir=str(out / "trackers"), cpu=True)
    folder = out / "trackers"
    folder.mkdir(parents=True, exist_ok=True)
    accelerator.init_trackers(
        "doubleback",
        config={"recipe": recipe.model_dump_json(exclude={"trackers"})},
        init_kwargs={"wandb": {"dir": str(folder)}},  # else it writes into the working directory
    )
    try:
        yield lambda step, metrics: accelerator.log(metrics, step=step)
    finally:
        accelerator.end_training()
