"""What a stage has come to: whether it is finished, its figures on the test problems, its cost. Loads no torch."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doubleback.recipes.commands.stages.clock import stage_seconds
from doubleback.recipes.recipe.loading import load_recipe
from doubleback.recipes.recipe.results import Run
from doubleback.recipes.recipe.stages.road import TRAINS_NOTHING, Road, Stage
from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.records import read_record
from doubleback.rewards.settings import read_yaml, validated
from doubleback.rl.config import CheckpointConfig
from doubleback.rl.rollout.strand import id_in_strand, strand_of
from doubleback.rl.run.best import has_stalled
from doubleback.rl.run.names import (
    COUNTS,
    EVALUATIONS,
    METRICS,
    RECIPE,
    SAMPLES_END,
    STAGES,
    UNMEASURED,
    checkpoint_steps,
    evaluation_name,
    is_run,
)

Summary = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StageResult:
    """What is known of a stage so far; NaN and None where that is nothing."""

    stage: Stage
    start: str
    """Whose adapter it starts from."""
    is_begun: bool
    is_finished: bool
    step: int
    seconds: float
    """Of all sittings: starting, steps and evaluations."""
    step_seconds: float
    """Of the steps alone."""
    sampled_tokens: float
    """What was sampled to learn from; evaluations are not counted."""
    before: Summary | None
    """The test problems at step 0."""
    after: Sequence[tuple[frozenset[str], Summary]]
    """What was measured at the end: ids of the test problems with their summary, of several tasks or modes apart."""

    def on(self, problems: frozenset[str]) -> Summary | None:
        """What was measured at the end on these problems; None where that is nothing."""
        return next((summary for ids, summary in self.after if ids == problems), None)


def is_finished(run: Path) -> bool:
    """Whether a stage's run is over: the last step, or the end of patience, is measured and saved; of what samples
    alone, something was kept.
    """
    if not is_run(run):
        return False
    recipe, lines, saved = read_yaml(run / RECIPE, "recipe"), complete_lines(run / METRICS), checkpoint_steps(run)
    if recipe["kind"] in TRAINS_NOTHING:
        return (run / COUNTS).exists() and read_record(run / COUNTS)["kept"] > 0
    if not lines or not saved or lines[-1]["step"] != saved[-1] or UNMEASURED in lines[-1]:
        return False
    config = validated(CheckpointConfig, recipe["checkpoint"], "checkpoint.")
    return lines[-1]["step"] == recipe["steps"] or has_stalled(lines, config)


def stored_road(path: Path) -> Road:
    """The recipe of stages in whose folder its runs lie. ConfigError where it cannot be read."""
    road = load_recipe(str(path / STAGES))
    assert isinstance(road, Road), f"{path / STAGES} has stages, since train wrote it"
    return road


def results(road: Road, out: Path) -> list[StageResult]:
    """Of every stage, in order."""
    starts = [(stage, road.before(stage)) for stage in road.stages]
    return [_result(stage, stage.start if start is None else start.name, out) for stage, start in starts]


def _result(stage: Stage, start: str, out: Path) -> StageResult:
    folder = out / stage.folder
    if not is_run(folder):
        return StageResult(stage, start, False, False, 0, math.nan, math.nan, math.nan, None, ())
    lines, evaluations = complete_lines(folder / METRICS), Run(folder).evaluations()
    step, is_over = lines[-1]["step"] if lines else 0, is_finished(folder)
    return StageResult(
        stage,
        start,
        True,
        is_over,
        step,
        stage_seconds(out, stage.name),
        _total(lines, "seconds/step"),
        SAMPLED.get(stage.recipe.kind, _rollout_tokens)(folder),
        evaluations.get(evaluation_name("test", 0)),
        list(_tested(folder, step)) if is_over else (),
    )


def _tested(folder: Path, step: int) -> Iterator[tuple[frozenset[str], Summary]]:
    """A task or mode beside others calls its problems NAME/ID, and its summary test-NAME."""
    lines = complete_lines(folder / EVALUATIONS / f"{evaluation_name('test', step)}{SAMPLES_END}")
    ids = {str(line["problem"]) for line in lines}
    for name, summary in Run(folder).evaluations().items():
        suite = summary["suite"]
        if name == evaluation_name(suite, step) and suite.startswith("test"):
            strand = suite.removeprefix("test-")
            own = ids if suite == "test" else {id_in_strand(it) for it in ids if strand_of(it) == strand}
            yield frozenset(own), summary


def _total(lines: list[dict[str, Any]], name: str) -> float:
    """Of the steps that have it; NaN where one has it undefined."""
    values = [line[name] for line in lines if line["step"] > 0]
    return math.nan if None in values else sum(values)


def _rollout_tokens(folder: Path) -> float:
    return _total(complete_lines(folder / METRICS), "rollout/tokens")


def _kept_tokens(folder: Path) -> float:
    return float(read_record(folder / COUNTS)["tokens"]) if (folder / COUNTS).exists() else math.nan


SAMPLED: Mapping[str, Callable[[Path], float]] = {"sft": lambda folder: 0.0, "sample": _kept_tokens}
"""Kind -> how many tokens were sampled to learn from; of any other those of its rollouts. What is given costs none."""
