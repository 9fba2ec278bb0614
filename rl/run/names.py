"""What things are called in a run's folder, for those who write and those who read. Imports nothing of ours.

recipe.yaml, inputs.json, environment.json, init.json, problems.jsonl, metrics.jsonl, rollouts/step-00012.jsonl.gz,
checkpoints/step-00012/, eval/validation-step-00012.json and .jsonl.gz; of `kind: sample` kept.jsonl and kept.json;
problems.jsonl and rollouts/, which evaluations have too, are named in `rewards.sample_lines`. Of a recipe of stages
stages.yaml and the folders of its runs, 01-cold-start/
"""

import re
from pathlib import Path

RECIPE = "recipe.yaml"
"""The resolved recipe; a folder that holds it is a run."""
STAGES = "stages.yaml"
"""The resolved recipe of a road; a folder that holds it has a run in it for each stage."""
INPUTS = "inputs.json"
"""What the results depend on beside the settings, by hash."""
ENVIRONMENT = "environment.json"
"""Machine, packages, and the sizes that were chosen."""
INITIAL = "init.json"
"""Which adapter the run started from, and the hash of its tensors; only where the recipe has `lora.init`."""
METRICS = "metrics.jsonl"
"""One line a step."""
KEPT, COUNTS = "kept.jsonl", "kept.json"
"""Of `kind: sample`: the samples that are worth imitating, and what became of the others."""
UNMEASURED = "unmeasured"
"""In the metrics of a step whose evaluation was interrupted: the resumed run makes up for it."""
CHECKPOINTS = "checkpoints"
EVALUATIONS = "eval"
SAMPLES_END = ".jsonl.gz"
"""End of the name of a file of samples: of a step's rollouts, or of what an evaluation sampled."""


def is_run(folder: Path) -> bool:
    """Whether the folder holds a run."""
    return (folder / RECIPE).is_file()


def is_road(folder: Path) -> bool:
    """Whether the folder holds the runs of a recipe of stages."""
    return (folder / STAGES).is_file()


def newest_run(folder: Path) -> Path:
    """The folder; of a road that of the last stage with a checkpoint, or where there is none of the last that began."""
    runs = stage_folders(folder) if is_road(folder) else []
    return next((run for run in reversed(runs) if checkpoint_steps(run)), runs[-1] if runs else folder)


def stage_folders(road: Path) -> list[Path]:
    """The runs of the stages that have begun, in their order."""
    return sorted(path.parent for path in road.glob(f"[0-9][0-9]-*/{RECIPE}"))


def step_name(step: int) -> str:
    """The name of a step in files and folders: step-00012, so that names sort as numbers do."""
    return f"step-{step:05d}"


def evaluation_name(suite: str, step: int) -> str:
    """The name of what was measured at a step: validation-step-00012."""
    return f"{suite}-{step_name(step)}"


def step_of(name: str) -> int | None:
    """The step in the name of a file or folder; None where it has none."""
    number = re.search(r"step-(\d+)", name)
    return None if number is None else int(number[1])


def checkpoint_folder(run: Path, step: int) -> Path:
    """Where the checkpoint of a step is, or goes."""
    return run / CHECKPOINTS / step_name(step)


def checkpoint_steps(run: Path) -> list[int]:
    """Steps of the finished checkpoints, ascending. What else lies there, a file or `step-00008-copy`, is none."""
    steps = [(path, step_of(path.name)) for path in (run / CHECKPOINTS).glob("step-*")]
    return sorted(step for path, step in steps if step is not None and path.name == step_name(step) and path.is_dir())
