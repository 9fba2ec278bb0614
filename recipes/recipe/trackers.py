"""Experiment trackers through accelerate's public classes, one row each. Off unless the recipe names them.

Each is finished by itself: `Accelerator.end_training` would also destroy the process group, which is vLLM's.
Importing this loads no torch.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

from doubleback.rewards.records import read_record
from doubleback.rewards.types import ConfigError
from doubleback.rl.run.files import write_atomically

PROJECT = "doubleback"
"""Under which a tracker that sorts runs by project puts this one."""
FOLDER = "trackers"
"""In the run's folder: what trackers write there, and a note for each that goes on with the same run."""

Track = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """What a tracker is told of a run when it starts."""

    out: Path
    """The run's folder; where the recipe gives the run no name, it has that of its folder."""
    settings: Mapping[str, Any]
    """The recipe, section by section."""
    start: int
    """The step from which the run goes on; 0 for a new one."""

    @property
    def name(self) -> str:
        """The name of the run: the recipe's, or that of its folder."""
        return self.settings.get("name") or self.out.resolve().name

    @property
    def tags(self) -> list[str]:
        """The recipe's."""
        return list(self.settings.get("tags", ()))

    @property
    def folder(self) -> Path:
        """Where trackers write."""
        return self.out / FOLDER


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerRow:
    """What is known of a tracker before it is started."""

    location: str
    """`package.module:attr` of accelerate's class for it."""
    package: str
    """What must be installed."""
    options: Callable[[TrackedRun, str], dict[str, Any]]
    """What the class is called with, given the run and the id under which the tracker knows it."""
    can_forget: bool
    """Whether it drops by itself what an interrupted run told it past the step from which it goes on. Others are told
    no step twice: a resumed run computes the same ones again, to the last bit."""


def _tensorboard(run: TrackedRun, run_id: str) -> dict[str, Any]:
    # What was written from this step on is hidden by whoever reads the folder.
    purge_step = {"purge_step": run.start + 1} if run.start else {}
    return {"run_name": run.name, "logging_dir": run.folder / "tensorboard", **purge_step}


def _wandb(run: TrackedRun, run_id: str) -> dict[str, Any]:
    # Without `dir` it writes into the working directory.
    return {
        "run_name": PROJECT,
        "name": run.name,
        "tags": run.tags,
        "id": run_id,
        "resume": "allow",
        "dir": str(run.folder),
    }


def _trackio(run: TrackedRun, run_id: str) -> dict[str, Any]:
    # It knows runs by name, and two folders may have the same one.
    name = f"{run.name}-{run_id[:6]}"
    return {"run_name": PROJECT, "name": name, "resume": "allow", "embed": False, "auto_log_cpu": False}


TRACKERS = {
    "tensorboard": TrackerRow(
        location="accelerate.tracking:TensorBoardTracker", package="tensorboard", options=_tensorboard, can_forget=True
    ),
    "trackio": TrackerRow(
        location="accelerate.tracking:TrackioTracker", package="trackio", options=_trackio, can_forget=False
    ),
    "wandb": TrackerRow(location="accelerate.tracking:WandBTracker", package="wandb", options=_wandb, can_forget=False),
}
"""What `trackers` may name."""


@contextmanager
def start_trackers(names: Sequence[str], run: TrackedRun) -> Iterator[Track]:
    """Within the block, a function that sends one step's metrics to every tracker of `names`.

    ConfigError names a tracker whose package is not installed.
    """
    if missing := [row.package for row in map(TRACKERS.__getitem__, names) if find_spec(row.package) is None]:
        raise ConfigError(
            f"trackers: {missing[0]} is not installed; pip install {missing[0]} or drop it from the recipe"
        )
    with ExitStack() as stack:
        tracks = [stack.enter_context(_started(name, run)) for name in names]

        def track(step: int, metrics: dict[str, float]) -> None:
            for each in tracks:
                each(step, metrics)

        yield track


@contextmanager
def _started(name: str, run: TrackedRun) -> Iterator[Track]:
    from accelerate.state import PartialState

    PartialState(cpu=True)  # accelerate's trackers log to it
    row, note = TRACKERS[name], run.folder / f"{name}.json"
    if run.start == 0 and row.can_forget:
        shutil.rmtree(run.folder / name, ignore_errors=True)  # an earlier try, which came to no checkpoint
        note.unlink(missing_ok=True)
    is_new = not note.exists()
    new = {"id": uuid4().hex, "last_step": -1}
    state: dict[str, Any] = new if is_new else read_record(note)
    run.folder.mkdir(parents=True, exist_ok=True)
    module, _, attribute = row.location.partition(":")
    tracker = getattr(import_module(module), attribute)(**row.options(run, state["id"]))
    tracker.start()
    if is_new:
        tracker.store_init_configuration(flat(run.settings))

    def track(step: int, metrics: dict[str, float]) -> None:
        if step > state["last_step"] or row.can_forget:
            tracker.log(metrics, step=step)
            state["last_step"] = step
            write_atomically(note, json.dumps(state).encode())

    try:
        write_atomically(note, json.dumps(state).encode())
        yield track
    finally:
        tracker.finish()


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, bool | int | float | str]:
    """Settings by their full keys, as `optim.lr`: what a tracker shows as hyper-parameters, a column each.

    Lists are text, as JSON; what is not set is left out.
    """
    flattened: dict[str, bool | int | float | str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flattened |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            flattened[f"{prefix}{key}"] = json.dumps(value)
        elif value is not None:
            flattened[f"{prefix}{key}"] = value
    return flattened
