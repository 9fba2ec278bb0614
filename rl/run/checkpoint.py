"""Exact checkpoints: adapter in PEFT's layout, optimiser, random state, problems, and a manifest that proves all."""

import hashlib
import io
import json
import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file

from doubleback.rewards.types import ConfigError
from doubleback.rl.learner.learner import Learner
from doubleback.rl.policy import lora
from doubleback.rl.rollout.problems import ProblemSource

MANIFEST, STATE, ADAPTER, PROBLEMS = "manifest.json", "learner.pt", "adapter_model.safetensors", "problems.json"


def save(learner: Learner, problems: ProblemSource, folder: Path) -> None:
    """Write to a temporary folder, flush every file, rename: a crash at any moment spares the older checkpoints."""
    temporary = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        lora.save(learner.model, temporary)
        state = io.BytesIO()  # torch would report a full disk as an error of its own
        torch.save({**learner.state(), "torch_rng": torch.get_rng_state()}, state)
        (temporary / STATE).write_bytes(state.getbuffer())
        (temporary / PROBLEMS).write_text(json.dumps(problems.state()))
        files = {path.name: _sha256(path) for path in sorted(temporary.iterdir())}
        (temporary / MANIFEST).write_text(json.dumps({"step": learner.step, "sha256": files}, indent=2))
        for path in [*temporary.iterdir(), temporary]:
            _flush(path)
        temporary.rename(folder)
        _flush(folder.parent)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def load(learner: Learner, problems: ProblemSource, folder: Path) -> None:
    """Restore learner and problems exactly. ConfigError names the file that is missing, damaged or of another model."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        damaged = [name for name, digest in manifest["sha256"].items() if _sha256(folder / name) != digest]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _corrupt(folder, f"{MANIFEST} or a file it names is missing or unreadable") from error
    if damaged:
        raise _corrupt(folder, f"{damaged[0]} is not what was saved (SHA-256 differs)")
    state = torch.load(folder / STATE, weights_only=True)
    try:
        learner.restore(load_file(folder / ADAPTER), state)
    except ValueError as error:
        raise ConfigError(f"checkpoint {folder} belongs to another model or adapter: {error}") from error
    problems.restore(json.loads((folder / PROBLEMS).read_text()))
    torch.set_rng_state(state["torch_rng"])


def _corrupt(folder: Path, reason: str) -> ConfigError:
    return ConfigError(f"checkpoint {folder} is corrupt: {reason}; delete that folder to resume from the one before")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
