"""`doubleback verify`: whether a run's folder holds what the run wrote, whole and in agreement with itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from doubleback.eval.show.console import Console
from doubleback.eval.summarise import summary
from doubleback.recipes.recipe.results import Run
from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.records import read_record
from doubleback.rewards.sample_lines import ROLLOUTS, Line, num_tokens
from doubleback.rewards.types import ConfigError
from doubleback.rl.policy.stored.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from doubleback.rl.run.manifest import verified
from doubleback.rl.run.names import (
    EVALUATIONS,
    KEPT,
    METRICS,
    SAMPLES_END,
    checkpoint_folder,
    checkpoint_steps,
    is_road,
    stage_folders,
    step_name,
)
from doubleback.rl.run.state import NUM_COMPLETIONS, is_torn

MUST_HAVE = (ADAPTER_WEIGHTS, ADAPTER_CONFIG, "learner.pt", "problems.json")
"""What a checkpoint is resumed, measured and merged from."""


@dataclass(frozen=True, slots=True)
class Verified:
    """How much of a run was found to be as it was written."""

    checkpoints: int
    lines: int
    """Of metrics: the steps, and the measurement before the first."""
    rollouts: int
    """Files, one a step."""
    evaluations: int


def verify(run: str | Path) -> Verified:
    """Check a run that is not at work: checkpoints by hash and step, metrics for gaps, the samples of each step against
    what its metrics count, those of each evaluation against what its summary says of right and wrong.

    ConfigError, a line for each thing that is not as it was written.
    """
    path = Run(run).path
    lines, findings = _metrics(path)
    checkpoints = [partial(_checkpoint, path, step) for step in checkpoint_steps(path)]
    sampled = [line for line in lines if line.get(NUM_COMPLETIONS) is not None]
    rollouts = [partial(_rollouts, path, line) for line in sampled]
    evaluations = [partial(_evaluation, file) for file in sorted((path / EVALUATIONS).glob("*.json"))]
    checks: list[Callable[[], list[str]]] = [*checkpoints, *rollouts, *evaluations]
    for check in checks:
        try:
            findings += check()
        except ConfigError as error:  # of what cannot be read at all
            findings.append(str(error))
    if findings:
        raise ConfigError("\n".join(findings))
    return Verified(len(checkpoints), len(lines), len(rollouts), len(evaluations))


def show_verified(run: Path, console: Console) -> None:
    """A line for a run; of a recipe of stages one for each of its runs. ConfigError as of `verify`."""
    folders = stage_folders(run) if is_road(run) else [run]
    for folder in folders:
        found = verify(folder)
        counted = (
            f"{found.checkpoints} checkpoints, {found.lines} lines of metrics, samples of {found.rollouts} steps and "
            f"{found.evaluations} evaluations"
        )
        console.print(f"verified {folder}: {counted}", highlight=False, soft_wrap=True)


def _checkpoint(run: Path, step: int) -> list[str]:
    verified(checkpoint_folder(run, step), *MUST_HAVE)
    return []


def _metrics(run: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The lines, and what is wrong with them: the last one is torn, or a step is missing or stands twice."""
    path = run / METRICS
    if not path.exists() and (run / KEPT).exists():  # kind=sample has no steps
        return [], []
    try:
        torn, lines = is_torn(path), complete_lines(path)
    except ConfigError as error:
        return [], [str(error)]
    findings = [f"{path} ends in the middle of a line; --resume mends it"] if torn else []
    wrong = [(number, line.get("step")) for number, line in enumerate(lines) if line.get("step") != number]
    return lines, findings + [f"{path}:{number + 1} is of step {step!r}, not {number}" for number, step in wrong[:1]]


def _rollouts(run: Path, metrics: Mapping[str, Any]) -> list[str]:
    """Of a step: as many samples and tokens as its metrics count, and none of another step."""
    path = run / ROLLOUTS / f"{step_name(metrics['step'])}{SAMPLES_END}"
    lines = _samples(path)
    counted = {NUM_COMPLETIONS: len(lines), "rollout/tokens": sum(num_tokens(line) or 0 for line in lines)}
    steps = {str(line.get("step")) for line in lines} - {str(metrics["step"])}
    return [
        *(
            f"{path} holds {count:,} for {name}, and {METRICS} says {metrics.get(name)!r}"
            for name, count in counted.items()
            if count != metrics.get(name)
        ),
        *(f"{path} has a sample of step {step}" for step in sorted(steps)),
    ]


def _evaluation(path: Path) -> list[str]:
    """Of a summary: its samples are there, and say what it says of them."""
    stored, samples = read_record(path), path.with_suffix(SAMPLES_END)
    found = summary(_samples(samples), {})
    names = ("num_problems", "n", "pass_at_k", "verdicts")
    return [f"{path}: {name} is not that of {samples.name}" for name in names if found[name] != stored.get(name)]


def _samples(path: Path) -> list[Line]:
    """Every line of a file of samples. ConfigError where there is none, or one that is no sample."""
    lines: list[Line] = list(complete_lines(path))
    if not lines:
        raise ConfigError(f"{path} is missing, or holds no samples")
    if strange := [number for number, line in enumerate(lines, 1) if not {"problem", "verdict"} <= line.keys()]:
        raise ConfigError(f"{path}:{strange[0]} is no sample: problem or verdict is missing")
    return lines
