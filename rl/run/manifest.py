"""The hashes of a checkpoint's files, which prove that they are what was saved. Loads no torch."""

import hashlib
import json
from pathlib import Path
from typing import Any

from doubleback.rewards.regular import file_text, opened
from doubleback.rewards.types import ConfigError, shortened
from doubleback.rl.run.names import step_of

MANIFEST = "manifest.json"


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, step: int) -> None:
    """Write down the hash of every file that lies in `folder`, and the step that they are of."""
    files = {path.name: file_hash(path) for path in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(json.dumps({"step": step, "sha256": files}, indent=2), encoding="utf-8")


def verified(folder: Path, *names: str) -> Path:
    """The folder of a checkpoint, of which every file is what was saved: the one check of all who read one.

    ConfigError where a file of the manifest is missing or damaged, where the manifest lacks one of `names`, or where it
    is of another step than the folder's name.
    """
    try:
        manifest: dict[str, Any] = json.loads(file_text(folder / MANIFEST))
        damaged = [name for name, digest in manifest["sha256"].items() if file_hash(folder / name) != digest]
        unknown = [name for name in names if name not in manifest["sha256"]]
        step, named = manifest.get("step"), step_of(folder.name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise corrupt(folder, f"{MANIFEST} or a file it names is missing or unreadable") from error
    if damaged:
        raise corrupt(folder, f"{damaged[0]} is not what was saved (SHA-256 differs)")
    if unknown:
        raise corrupt(folder, f"{MANIFEST} has no hash of {unknown[0]}")
    if named is not None and step != named:
        raise corrupt(folder, f"{MANIFEST} is of step {shortened(step)}, the folder of step {named}")
    return folder


def corrupt(folder: Path, reason: str) -> ConfigError:
    """What is said of a checkpoint that cannot be used."""
    return ConfigError(f"checkpoint {folder} is corrupt: {reason}; delete that folder to resume from the one before")
