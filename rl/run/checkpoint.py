"""Exact checkpoints: adapter in PEFT's layout, optimiser, random state, problems, and a manifest that proves all."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from doubleback.rewards.types import ConfigError, RunError
from doubleback.rl.learner.learner import Learner
from doubleback.rl.policy import lora
from doubleback.rl.policy.stored.adapter import ADAPTER_WEIGHTS
from doubleback.rl.rollout.problems import Source
from doubleback.rl.run.files import whole_folder
from doubleback.rl.run.manifest import corrupt, verified, write_manifest

STATE, PROBLEMS = "learner.pt", "problems.json"


def save(learner: Learner, source_state: Mapping[str, Any], folder: Path) -> None:
    """Write a checkpoint that appears whole: a crash at any moment spares the older ones.

    `source_state`: that of the problems' source after the learner's step. RunError where a number of adapter or
    optimiser is not finite: that is never saved, and nothing is pruned for it.
    """
    learner.require_finite_state("nothing is saved")
    with whole_folder(folder) as unfinished:
        lora.save(learner.model, unfinished)
        state = io.BytesIO()  # torch would report a full disk as an error of its own
        torch.save({**learner.state(), "torch_rng": torch.get_rng_state()}, state)
        (unfinished / STATE).write_bytes(state.getbuffer())
        (unfinished / PROBLEMS).write_text(json.dumps(source_state), encoding="utf-8")
        write_manifest(unfinished, learner.step)


def load(learner: Learner, problems: Source, folder: Path) -> None:
    """Restore learner and problems exactly. ConfigError names the file that is missing, damaged or of another model."""
    verified(folder, ADAPTER_WEIGHTS, STATE, PROBLEMS)
    state = torch.load(folder / STATE, weights_only=True)
    try:
        learner.restore(load_file(folder / ADAPTER_WEIGHTS), state)
        problems.restore(json.loads((folder / PROBLEMS).read_text(encoding="utf-8")))
        torch.set_rng_state(state["torch_rng"])
    except ValueError as error:
        raise ConfigError(f"checkpoint {folder} belongs to another model or adapter: {error}") from error
    except (KeyError, TypeError) as error:
        raise corrupt(folder, f"it lacks {error}, as another version of doubleback wrote it") from error
    try:
        learner.require_finite_state("the checkpoint cannot be used")
    except RunError as error:
        raise corrupt(folder, str(error).split(";")[0]) from error
