"""Modes of one policy, measured apart: by `doubleback eval` of a run that has some, and at the end of its training."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from doubleback.eval.compare import ComparedModes, Evaluated, compare_modes
from doubleback.eval.show.console import Console
from doubleback.eval.show.tables import modes_table
from doubleback.recipes.recipe.policy import Policy, recipe_of
from doubleback.rewards.nearest import nearest
from doubleback.rewards.sample_lines import Line
from doubleback.rewards.types import ConfigError
from doubleback.rl.rollout.strand import id_in_strand, strand_of
from doubleback.rl.run.files import write_atomically
from doubleback.rl.run.names import is_run, newest_run

MATH = "math"
"""The task of suites that are questions with answers."""
MODES = "modes.json"
"""What the modes of an evaluation say together, beside the folder of each."""


def modes_of(model: str | Path) -> list[str]:
    """The names of the modes that a run was trained in; none where `model` is no run, or has one mode."""
    path = newest_run(Path(model))
    if not is_run(path):
        return []
    return list(recipe_of(path).modes)


def in_mode(policy: Policy, name: str | None, thinking: str | None) -> Policy:
    """The policy of a run in one of its modes: prompt, longest completion and thinking are the mode's.

    ConfigError where the run has modes and none is named, or none of this name.
    """
    from doubleback.recipes.recipe.mixture.strands import modes

    known = {} if policy.recipe is None else {mode.name: mode for mode in modes(policy.recipe)}
    if not known:
        if name is not None:
            raise ConfigError(f"--mode {name}: {policy.model} is no run with modes; leave it out")
        return policy
    if name is None:
        asked = f"--thinking {thinking}: " if thinking is not None else ""
        raise ConfigError(f"{asked}the run has the modes {', '.join(known)}; name one with --mode")
    if thinking is not None:
        raise ConfigError(f"--mode {name} says of thinking what the run's recipe does; leave --thinking {thinking} out")
    if name not in known:
        raise ConfigError(f"--mode {name} is none of the run's; {nearest(name, known)}")
    return replace(policy, recipe=known[name].recipe, mode=known[name])


def for_suite(policy: Policy, task_name: str | None) -> Policy:
    """The policy of a run that mixes tasks as the suite finds it: with prompt and longest completion of the one task
    that is the suite's (`math` where the suite names none), else of the recipe's own.
    """
    from doubleback.recipes.recipe.mixture.strands import strands

    if policy.recipe is None or not policy.recipe.mix or policy.recipe.task.name == (task_name or MATH):
        return policy
    fitting = [it for it in strands(policy.recipe) if it.recipe.task.name == (task_name or MATH)]
    return replace(policy, recipe=fitting[0].recipe) if len(fitting) == 1 else policy


def conclude(evaluated: Mapping[str, Evaluated], out: Path, console: Console) -> None:
    """Show the modes side by side with the price of thinking, and write that down in `out`."""
    samples = {name: _with_thinking(it) for name, it in evaluated.items()}
    compared = _compared(samples)
    summaries = {name: it.summary for name, it in evaluated.items()}
    console.print(modes_table(summaries, compared))
    kept = ("thinking", "pass_at_k", "mean_tokens", "obeys_thinking", "cut_off_rate", "num_problems", "n")
    said = {
        "modes": {name: {key: summary.get(key) for key in kept} for name, summary in summaries.items()},
        "thinking_on_minus_off": None if compared is None else _json(compared),
    }
    write_atomically(out / MODES, json.dumps(said, indent=2).encode())
    console.print(f"{MODES} is in {out}", soft_wrap=True)


def trained_modes_table(summaries: Mapping[str, Mapping[str, Any]], lines: Sequence[Line]) -> Table:
    """The same of a run's own measurement: the summary of each mode, and the samples of all with their columns."""
    samples = {
        name: [
            {**line, "problem": id_in_strand(line["problem"])} for line in lines if strand_of(line["problem"]) == name
        ]
        for name in summaries
    }
    return modes_table(summaries, _compared(samples))


def _with_thinking(evaluated: Evaluated) -> list[Line]:
    return [{**line, "thinking": evaluated.summary.get("thinking")} for line in evaluated.lines]


def _compared(samples: Mapping[str, Sequence[Line]]) -> ComparedModes | None:
    """The first mode that thinks against the first that does not; None where there is none of one kind."""
    kinds = {name: lines[0].get("thinking") for name, lines in samples.items() if lines}
    on, off = (next((name for name, kind in kinds.items() if kind is wanted), None) for wanted in (True, False))
    return None if on is None or off is None else compare_modes(samples[on], samples[off])


def _json(compared: ComparedModes) -> dict[str, Any]:
    """As JSON; undefined is null."""
    return dict(_defined(asdict(compared)))


def _defined(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _defined(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and value != value else value
