"""`doubleback train`, in Python `train`: put the parts together, train, and show what came of it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from doubleback.eval.run import Request, generate
from doubleback.eval.show.console import Console
from doubleback.eval.summarise import headline, summary
from doubleback.recipes.commands.check import preflight, prepared_watched
from doubleback.recipes.commands.display import CollapseWarning, Display
from doubleback.recipes.commands.opening import open_run, refuse_another_run
from doubleback.recipes.commands.progress import Standing
from doubleback.recipes.commands.reports.while_training import ReportWriter, write_at_the_end
from doubleback.recipes.commands.samples.draw import sample
from doubleback.recipes.models.configuration import configuration
from doubleback.recipes.recipe.assembly import Assembled, Prepared, assemble, kept_sizes, sized
from doubleback.recipes.recipe.imitation.teacher import open_teacher
from doubleback.recipes.recipe.mixture.strands import problem_source
from doubleback.recipes.recipe.results import Run
from doubleback.recipes.recipe.schema import TINY_FOLDER, Recipe
from doubleback.recipes.recipe.start import initial_adapter, record_start
from doubleback.recipes.recipe.suites import MeasuredSuite
from doubleback.recipes.recipe.trackers import TrackedRun, start_trackers
from doubleback.recipes.trl import trainer as trl_trainer
from doubleback.rewards.checks.golds import listed
from doubleback.rewards.nearest import nearest
from doubleback.rewards.sample_lines import with_columns
from doubleback.rewards.settings import require_folder
from doubleback.rewards.types import ConfigError, RunError
from doubleback.rl.engines.engine import Sampler
from doubleback.rl.learner.learner import Learner
from doubleback.rl.objective.balance import by_layer
from doubleback.rl.policy.base import load_tokenizer
from doubleback.rl.rollout.given import Given
from doubleback.rl.rollout.pace import Pace
from doubleback.rl.rollout.prefetch import Rollouts
from doubleback.rl.rollout.sampler import RolloutSampler
from doubleback.rl.rollout.taught import Taught
from doubleback.rl.run.best import best_so_far, has_stalled
from doubleback.rl.run.directory import RunDirectory
from doubleback.rl.run.experts import expert_balance
from doubleback.rl.run.files import private_files, write_atomically
from doubleback.rl.run.journal import Checkpoints, Journal, Observe
from doubleback.rl.run.names import EVALUATIONS, SAMPLES_END, evaluation_name
from doubleback.rl.run.owner import owned
from doubleback.rl.run.samples import sample_lines, write_rollouts
from doubleback.rl.run.state import lost_history
from doubleback.rl.stopping import STOP, Interrupted
from doubleback.rl.sync import AdapterSync, draw_canaries
from doubleback.rl.threads import sharing_cores
from doubleback.rl.train import train as train_adapter

Watch = Callable[[str, Callable[[], str]], AbstractContextManager[None]]
"""Called with what goes on, and what says how it stands; it goes on within the block."""


def train(
    recipe: Recipe,
    out: str | Path,
    *,
    resume: bool = False,
    callbacks: Sequence[Observe] = (),
    console: Console | None = None,
) -> Run:
    """Train `recipe` into the folder `out` and return the run; with `resume`, continue exactly where it stopped.

    Each callback is called with the number of a step and its metrics (docs/metrics.md) once they are on disk; step 0 is
    the measurement before training. `kind: sample` has no step. What a callback raises ends the run, which can then be
    resumed. ConfigError where the recipe, its data or the machine do not fit; RunError where the run must stop.
    """
    out, console = Path(out), console or Console()
    if resume:
        require_folder(out, "--resume --out ")
    with private_files(recipe.private), owned(out), sharing_cores(recipe.num_processes):
        refuse_another_run(recipe, out, resume, console)
        if recipe.lora.init is not None and not resume:
            require_folder(recipe.lora.init, "lora.init=")
        with prepared_watched(recipe, console, out / TINY_FOLDER) as prepared:
            for line in [*prepared.skipped, *(f"left out: {line}" for line in listed(prepared.dropped))]:
                console.print(line, soft_wrap=True)
            if recipe.kind == "sample":
                sample(recipe, prepared, out, resume, console)
            else:
                _train(recipe, prepared, out, resume, callbacks, console)
    write_at_the_end(out, console)
    return Run(out)


def _train(
    recipe: Recipe, prepared: Prepared, out: Path, resume: bool, callbacks: Sequence[Observe], console: Console
) -> None:
    is_trl = recipe.trainer == "trl"
    if is_trl:
        trl_trainer.refuse(recipe, prepared.longest_prompt, resume)  # before anything is written
    problems = problem_source(recipe, prepared.splits)
    kept = kept_sizes(out) if resume else None
    settings = sized(recipe, configuration(prepared.model.path), prepared.model.dtype, kept)
    run = open_run(recipe, settings, prepared, out)

    def restore(learner: Learner) -> int:
        if not resume:
            return 0
        for line in lost_history(run.path, max(run.checkpoint_steps(), default=-1)):
            console.print(f"--resume: {line}", highlight=False, soft_wrap=True)
        return run.restore_latest(learner, problems)

    settings = trl_trainer.with_peft_experts(settings) if is_trl else settings
    with assemble(settings, prepared.model, console, restore) as assembled:
        learner, engine, splits = assembled.learner, assembled.engine, prepared.splits
        sizes = recipe.step_completions, recipe.sampling.max_tokens
        canaries = draw_canaries(engine, splits.validation, recipe.sync, recipe.seed, *sizes)
        start = learner.step
        pace = paced(recipe, start)
        sync = AdapterSync(engine, learner, canaries, recipe.sync, prepared.model.dtype, pace.delivers)
        if start == 0 and recipe.lora.init is not None:
            record_start(out, initial_adapter(recipe, prepared.model.path), learner.adapter().hash)
        if start == 0:
            preflight(recipe, prepared, assembled, console)
        tracked = TrackedRun(out, recipe.model_dump(mode="json"), start)
        with Display(console, recipe.steps, start) as display, start_trackers(recipe.trackers, tracked) as track:
            evaluate = evaluator(recipe, prepared.suites, engine, run, display.watching)
            checkpoints = Checkpoints(learner, recipe.checkpoint, recipe.steps)
            warned = [CollapseWarning(console).observe] if recipe.lora.train_router and recipe.kind == "rl" else []
            observers = [display.observe, *warned, track, ReportWriter(out, console).observe, *callbacks]
            journal = Journal(run, checkpoints, evaluate, observers)
            if is_trl:
                trl_trainer.train_with_trl(trl_trainer.TrlRun(settings, prepared, learner, problems, sync, journal))
            else:
                with _source_of_completions(settings, prepared, assembled, console) as source:
                    sampling = recipe.learned_sampling
                    drawn = RolloutSampler(source, problems, prepared.reward, sampling, recipe.rollout, recipe.seed)
                    with _saved_when_stopped(journal, run, recipe.steps):
                        train_adapter(learner, Rollouts(drawn, pace), sync, journal, journal.steps())
        _say_where_it_stands(run, recipe, console)


def paced(recipe: Recipe, start: int) -> Pace:
    """Which adapter samples which step of a run that goes on behind `start`."""

    def saves(step: int) -> bool:
        return recipe.checkpoint.is_due(step, recipe.steps)

    return Pace(recipe.rollout, start, saves, lambda step: recipe.eval.is_due(step, recipe.steps))


@contextmanager
def _source_of_completions(
    recipe: Recipe, prepared: Prepared, assembled: Assembled, console: Console
) -> Iterator[Sampler]:
    """Who makes what is learned from: the engine, alone or read by a teacher, or who gave the demonstrations."""
    learner, tokenizer = assembled.learner, load_tokenizer(prepared.model.path)
    if recipe.kind == "sft":
        yield Given(prepared.demonstrations, tokenizer, lambda: learner.step, recipe.demonstrations.learn_prompts)
    elif prepared.teacher is not None:
        text = prepared.splits.train[0].prompt
        with open_teacher(recipe, prepared.teacher, tokenizer, text, console.print) as teacher:
            yield Taught(assembled.engine, teacher)
    else:
        yield assembled.engine


@contextmanager
def _saved_when_stopped(journal: Journal, run: RunDirectory, steps: int) -> Iterator[None]:
    """After a signal within the block the newest whole step is saved, and the last line says which of `steps` it is."""
    try:
        with STOP.finishing():
            yield
    except (Interrupted, RunError):
        if STOP.asked is not None:
            with STOP.finishing():
                journal.save()
                saved = run.checkpoint_steps()
                STOP.done = f"step {saved[-1]} of {steps} is saved" if saved else ""
        raise


def _say_where_it_stands(run: RunDirectory, recipe: Recipe, console: Console) -> None:
    """The best step, where the recipe asks for one, and whether the run ended since nothing was better."""
    if recipe.checkpoint.best is None:
        return
    lines = run.metrics_lines()
    best = best_so_far(lines, recipe.checkpoint.best)
    console.print(f"best  {recipe.checkpoint.best} {best.value:.3f} at step {best.best_step}", highlight=False)
    if has_stalled(lines, recipe.checkpoint):
        since = f"checkpoint.patience={recipe.checkpoint.patience}: no improvement in {best.num_since} evaluations"
        console.print(f"ended at step {lines[-1]['step']}, {since}", highlight=False)


def evaluator(
    recipe: Recipe,
    suites: Mapping[str, MeasuredSuite],
    engine: Sampler,
    run: RunDirectory,
    watch: Watch,
) -> Callable[[int], dict[str, float]]:
    """The function that measures a step where that is due: its summaries and samples in the run, its metrics returned.

    Validation problems and `eval.suites` every `eval.every` steps; test problems at the start and at the end alone, be
    that the last step or the end of `checkpoint.patience`. `watch` is told what goes on, and may ask how it stands.
    """
    settings, best = recipe.eval, recipe.checkpoint.best
    regular = [name for name in suites if name != "test"]

    def measure(suite: str, step: int) -> dict[str, float]:
        asked = suites[suite]
        problems, ks, sampling = asked.problems, asked.ks, asked.sampling
        standing = Standing(engine, len(problems) * sampling.group_size, sampling.max_tokens)
        with watch(f"step {step}: {len(problems)} {suite} problems x {sampling.group_size}", standing.in_words):
            groups = generate(engine, Request(suite, problems, sampling, recipe.seed), asked.scorer)
        adapter_hash = groups[0].completions[0].adapter_hash
        lines = with_columns([line for group in groups for line in sample_lines(group)], problems)
        folder, metrics = run.path / EVALUATIONS, dict[str, float]()
        write_rollouts(folder / f"{evaluation_name(suite, step)}{SAMPLES_END}", step, groups)
        for name, own_lines, measures in asked.apart(suite, lines):
            about = {"suite": name, "step": step, "adapter_hash": adapter_hash}
            summarised = summary(own_lines, about, ks, measures)
            own_ids = {line["problem"] for line in own_lines}
            if (layers := expert_balance([group for group in groups if group.problem.id in own_ids])) is not None:
                summarised["experts"] = by_layer(layers)
            write_atomically(folder / f"{evaluation_name(name, step)}.json", json.dumps(summarised, indent=2).encode())
            metrics |= headline(summarised, ks)
        return metrics

    def measure_if_due(step: int) -> dict[str, float]:
        is_end = step in (0, recipe.steps)
        due = regular if settings.is_due(step, recipe.steps) else []
        metrics = {name: value for suite in due for name, value in measure(suite, step).items()}
        if metrics and best is not None and best not in metrics:
            raise ConfigError(f"checkpoint.best={best} is not measured; {nearest(best, metrics)}")
        is_over = metrics and has_stalled([*run.metrics_lines(), {"step": step, **metrics}], recipe.checkpoint)
        if is_end or is_over:
            metrics |= measure("test", step)
        return metrics

    return measure_if_due
