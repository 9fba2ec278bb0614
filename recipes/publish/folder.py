"""What is pushed, as a folder: weights and settings, the card, the recipe and what was measured."""

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from doubleback.recipes.models.bundled import bundled_path
from doubleback.recipes.publish.base import CARD
from doubleback.recipes.publish.facts import Facts
from doubleback.recipes.publish.private import require_no_place
from doubleback.rewards.records import read_record
from doubleback.rl.policy.stored.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from doubleback.rl.run.manifest import verified
from doubleback.rl.run.names import RECIPE

RESULTS = "results.json"


def write_adapter(checkpoint: Path, facts: Facts, folder: Path) -> None:
    """The adapter as `PeftModel.from_pretrained` reads it; its base is a hub id, or nothing, and never a folder here.

    ConfigError where the checkpoint is not what was saved.
    """
    verified(checkpoint, ADAPTER_WEIGHTS, ADAPTER_CONFIG)
    shutil.copyfile(checkpoint / ADAPTER_WEIGHTS, folder / ADAPTER_WEIGHTS)
    config = {**read_record(checkpoint / ADAPTER_CONFIG), "base_model_name_or_path": facts.base.hub_id}
    # In order, as those of older checkpoints are not.
    config["target_modules"] = sorted(config["target_modules"])
    (folder / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


def write_merged(model: str, checkpoint: Path, dtype: str | None, folder: Path) -> Any:
    """The base with the adapter as a plain checkpoint, and how exact it is (`MergeReport`). Errors as of `merge`."""
    from doubleback.rl.policy.merged_checkpoint import merge_checkpoint

    verified(checkpoint, ADAPTER_WEIGHTS, ADAPTER_CONFIG)
    return merge_checkpoint(bundled_path(model), checkpoint, folder, dtype)


def write_papers(facts: Facts, run: Path, text: str, folder: Path) -> None:
    """The card, the recipe and the summaries of what was measured. ConfigError where one names a folder of here."""
    settings = yaml.safe_dump(dict(facts.settings), sort_keys=False, allow_unicode=True)
    measured = {it.suite: {"before": it.before, "after": it.after} for it in facts.measured}
    (folder / CARD).write_text(text, encoding="utf-8")
    (folder / RECIPE).write_text(settings, encoding="utf-8")
    (folder / RESULTS).write_text(json.dumps(measured, indent=2), encoding="utf-8")
    require_no_place(folder, [run, Path(bundled_path(facts.recipe.model.path, asks_hub=False))])
