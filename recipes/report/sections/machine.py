"""Where the run was made: machine, packages, and what its results depend on."""

from collections.abc import Mapping, Sequence
from typing import Any

from doubleback.recipes.publish.private import without_folder
from doubleback.recipes.report.blocks import Block, Folded, Section, Table
from doubleback.recipes.report.content import RunContent

LABELS = {
    "processor": "processor",
    "gpu": "accelerator",
    "cores": "cores",
    "threads": "threads of torch",
    "platform": "system",
    "python": "Python",
    "commit": "commit of doubleback",
}
NONE = "the run has not written down its machine."


def environment(runs: Sequence[RunContent]) -> Section:
    """A column a run."""
    if not any(run.environment for run in runs):
        return Section("environment", "Environment", [], NONE)
    machines = [_flat(run.environment) for run in runs]
    names = list(dict.fromkeys(name for of in machines for name in of))
    rows = [(name, *(of.get(name, "-") for of in machines)) for name in names]
    columns = ("", *("" if len(runs) == 1 else run.label for run in runs))
    blocks: list[Block] = [Table("Machine and packages", columns, rows, is_numeric=False)]
    hashes = [(_name(key), *(str(run.inputs.get(key, "-")) for run in runs)) for key in _keys(runs)]
    if hashes:
        table = Table("What the results depend on, beside the settings", columns, hashes, is_numeric=False)
        blocks.append(Folded("Hashes of model, data and reward code", [table]))
    return Section("environment", "Environment", blocks)


def _flat(known: Mapping[str, Any]) -> dict[str, str]:
    machine = {label: str(known[key]) for key, label in LABELS.items() if known.get(key) is not None}
    packages = {name: str(version) for name, version in known.get("packages", {}).items() if version is not None}
    return {**machine, **packages, **{name: str(size) for name, size in known.get("sizes", {}).items()}}


def _keys(runs: Sequence[RunContent]) -> list[str]:
    return list(dict.fromkeys(key for run in runs for key in run.inputs))


def _name(key: str) -> str:
    name, equals, value = key.partition("=")
    return f"{name}{equals}{without_folder(value)}" if equals else key
