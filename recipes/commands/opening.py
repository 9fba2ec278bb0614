"""The folder of a run as it is opened: it is another run's, this one's to go on with, or new."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from doubleback.eval.show.console import Console
from doubleback.recipes.recipe.assembly import Prepared
from doubleback.recipes.recipe.inputs import changed_settings, inputs, require_same_inputs
from doubleback.recipes.recipe.origin.machine import machine
from doubleback.recipes.recipe.origin.software import installed_versions, software
from doubleback.recipes.recipe.schema import Recipe
from doubleback.rewards.records import read_record
from doubleback.rewards.settings import read_yaml
from doubleback.rewards.types import ConfigError
from doubleback.rl.run.directory import RunDirectory
from doubleback.rl.run.files import write_atomically
from doubleback.rl.run.names import ENVIRONMENT, INPUTS, RECIPE, checkpoint_steps


def refuse_another_run(recipe: Recipe, out: Path, resume: bool, console: Console) -> None:
    """ConfigError where `out` holds another run, or none to resume; says what changes that may."""
    stored = out / RECIPE
    if stored.exists() and not resume:
        raise ConfigError(f"--out {out} already holds a run; continue it with --resume or choose another folder")
    if resume and not stored.exists():
        raise ConfigError(f"--resume: {out} holds no run (no {RECIPE}); leave --resume out to start one there")
    if not resume:
        return
    for line in [*changed_settings(read_yaml(stored, "recipe"), recipe), *_changed_machine(out / ENVIRONMENT)]:
        console.print(line)
    if not (out / INPUTS).exists():
        console.print(f"--resume: {out} has no {INPUTS}: its data, model and code are compared from now on alone")


def open_run(recipe: Recipe, settings: Recipe, prepared: Prepared, out: Path) -> RunDirectory:
    """The run's folder with its resolved recipe, its inputs and its problems. ConfigError where a run had others."""
    hashes = inputs(recipe, prepared)
    if (out / RECIPE).exists() and (out / INPUTS).exists():
        require_same_inputs(out, hashes)
    run = RunDirectory(out)
    write_atomically(out / INPUTS, json.dumps(hashes, indent=2, ensure_ascii=False).encode())
    sizes = {"microbatch_tokens": settings.optim.microbatch_tokens, "kv_cache_mib": settings.engine.kv_cache_mib}
    named = {"name": recipe.name, "tags": recipe.tags, "sittings": _sittings(out)}
    made_by = software()
    found = {**named, **machine(made_by["installed"]["versions"]), **made_by, "inputs": hashes, "sizes": sizes}
    write_atomically(out / ENVIRONMENT, json.dumps(found, indent=2, ensure_ascii=False).encode())
    resolved = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_atomically(out / RECIPE, resolved.encode())
    further = [problem for name in recipe.eval.suites for problem in prepared.suites[Path(name).stem].problems]
    run.write_problems([*prepared.splits.everything, *further])
    return run


def _sittings(out: Path) -> list[dict[str, Any]]:
    """When the run was begun and gone on with, this time included, and from which step."""
    before = read_record(out / ENVIRONMENT).get("sittings", []) if (out / ENVIRONMENT).exists() else []
    steps = checkpoint_steps(out)
    return [*before, {"began": f"{datetime.now():%Y-%m-%d %H:%M:%S}", "step": steps[-1] if steps else 0}]


def _changed_machine(stored: Path) -> list[str]:
    """What machine and packages are now, where the run has had others: results may differ in their last bits, and of
    doubleback in more.
    """
    before, now = read_record(stored), machine(installed_versions())
    pairs = {name: (before[name], now[name]) for name in now if name != "packages" and name in before}
    pairs |= {name: (before["packages"].get(name), version) for name, version in now["packages"].items()}
    notes = {"doubleback": "other steps may follow than would have: see CHANGELOG.md"}
    return [
        f"--resume: {name} is {new} from now on, it was {old} ({notes.get(name, 'last bits may differ')})"
        for name, (old, new) in pairs.items()
        if old != new
    ]
