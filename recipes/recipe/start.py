"""`lora.init`: training that starts from an earlier adapter, of a run or of a folder in PEFT's layout."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from doubleback.recipes.recipe.schema import Recipe
from doubleback.rewards.records import read_record
from doubleback.rewards.settings import require_folder
from doubleback.rewards.types import ConfigError
from doubleback.rl.policy.stored.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from doubleback.rl.run.files import write_atomically
from doubleback.rl.run.manifest import verified
from doubleback.rl.run.names import CHECKPOINTS, INITIAL, checkpoint_folder, checkpoint_steps, is_run

OTHER_ADAPTERS = ("use_rslora", "use_dora", "alpha_pattern")
"""Options of PEFT that make of the same tensors another adapter than ours."""


def newest_adapter(run: Path) -> Path | None:
    """The newest checkpoint of a run; None where it has none."""
    steps = checkpoint_steps(run)
    return checkpoint_folder(run, steps[-1]) if steps else None


def saved_adapter(folder: Path) -> Path:
    """The folder of an adapter; of a run's checkpoint ConfigError where it is not what was saved."""
    return verified(folder, ADAPTER_WEIGHTS, ADAPTER_CONFIG) if folder.resolve().parent.name == CHECKPOINTS else folder


def initial_adapter(recipe: Recipe, base: str) -> Path:
    """The folder of the adapter that `lora.init` names, of a run the newest. ConfigError where there is none, or where
    its settings say that it is one for another base than `base`, or of another scale.
    """
    init = Path(str(recipe.lora.init))
    require_folder(init, "lora.init=")
    if is_run(init):
        newest = newest_adapter(init)
        if newest is None:
            raise ConfigError(f"lora.init={init} is a run without a checkpoint; train it further, or name an adapter")
        init = newest
    saved_adapter(init)
    try:
        stored = read_record(init / ADAPTER_CONFIG)
    except ConfigError as error:
        raise ConfigError(f"lora.init={init} is neither a run nor an adapter in PEFT's layout: {error}") from error
    if findings := list(_findings(recipe, stored, base)):
        raise ConfigError("\n".join(f"lora.init={init}: {line}" for line in findings))
    return init


def _findings(recipe: Recipe, stored: dict[str, Any], base: str) -> Iterator[str]:
    own = recipe.lora
    for key, name, value in (("lora.rank", "r", own.rank), ("lora.alpha", "lora_alpha", own.alpha)):
        if stored.get(name) != value:
            yield f"the adapter has {name}={stored.get(name)}, the recipe {key}={value:g}; set {key}={stored.get(name)}"
    for name in OTHER_ADAPTERS:
        if stored.get(name):
            yield f"the adapter has {name}={stored[name]}, which ours has not; start from a plain LoRA adapter"
    if finding := base_finding(stored, base, f"the recipe has model.path={recipe.model.path}"):
        yield finding


def base_finding(stored: Mapping[str, Any], base: str, named: str) -> str | None:
    """What is wrong with an adapter's settings `stored` for the folder `base`, which stands where `named` says."""
    trained_on = str(stored.get("base_model_name_or_path") or "")
    # A base lies in another folder on another machine: its last name is what stays.
    if not trained_on or Path(trained_on).name.lower() == Path(base).name.lower():
        return None
    return (
        f"the adapter is for the base {trained_on}, {named}; where both are the same, write its name into "
        f"base_model_name_or_path of {ADAPTER_CONFIG}"
    )


def record_start(out: Path, adapter: Path, adapter_hash: str) -> None:
    """Write down what a run started from. ConfigError where it has once started from another adapter."""
    record, now = out / INITIAL, {"adapter": str(adapter), "hash": adapter_hash}
    before = read_record(record, "start a new run") if record.exists() else now
    if before["hash"] != adapter_hash:
        raise ConfigError(
            f"--resume: {adapter} is no longer the adapter that the run started from ({before['hash'][:12]}, now "
            f"{adapter_hash[:12]}); start a new run"
        )
    write_atomically(record, json.dumps(now, indent=2).encode())
