"""`kind: sample`: a policy's samples of the training problems, and those of them that are worth imitating."""

import json
from pathlib import Path
from typing import Any

from doubleback.eval.compare import SAMPLES
from doubleback.eval.run import Request, generate_into, in_order, num_kept
from doubleback.eval.show.console import Console
from doubleback.recipes.commands.opening import open_run
from doubleback.recipes.commands.progress import EvalProgress, Standing
from doubleback.recipes.commands.samples.harvest import counts, kept_rows
from doubleback.recipes.models.configuration import configuration
from doubleback.recipes.recipe.assembly import Assembled, Prepared, assemble, kept_sizes, sized
from doubleback.recipes.recipe.imitation.harvest import Harvest, harvest
from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.recipe.start import initial_adapter, record_start
from doubleback.rewards.jsonl import to_lines
from doubleback.rewards.sample_lines import num_tokens
from doubleback.rewards.types import RunError
from doubleback.rl.run.files import write_atomically
from doubleback.rl.run.manifest import file_hash
from doubleback.rl.run.names import COUNTS, KEPT, RECIPE
from doubleback.rl.sync import AdapterSync, draw_canaries

STAGE = "train"
"""What the seeds of the samples derive from, where those of an evaluation derive from its suite."""


def sample(recipe: Recipe, prepared: Prepared, out: Path, resume: bool, console: Console) -> None:
    """Sample what is missing of the recipe's samples into the run `out`, then keep what is worth imitating anew.

    samples.jsonl has every sample, in the order of the problems, kept.jsonl those that were kept and kept.json what
    became of the others. All are equal to the byte however often the run was interrupted. RunError where too much
    cannot be judged, or nothing is kept: the samples stay, for other rules.
    """
    kept = kept_sizes(out) if resume else None
    settings = sized(recipe, configuration(prepared.model.path), prepared.model.dtype, kept)
    open_run(recipe, settings, prepared, out)
    problems = prepared.splits.train[: recipe.harvest.problems]
    request = Request(STAGE, problems, recipe.sampling.sampling(), recipe.seed)
    if num_left := len(problems) * request.sampling.group_size - num_kept(out / SAMPLES, request):
        console.print(f"{len(problems)} training problems x {request.sampling.group_size}, {num_left:,} to be sampled")
        with assemble(settings, prepared.model, console) as assembled:
            _push(recipe, prepared, assembled, out)
            standing = Standing(assembled.engine, num_left, request.sampling.max_tokens)
            with EvalProgress(console, len(problems), request.sampling.group_size, standing) as progress:
                generate_into(out / SAMPLES, assembled.engine, request, prepared.reward, progress.observe)
    lines = in_order(out / SAMPLES, request)
    _keep(harvest(lines, recipe.harvest), lines, recipe, out)


def _push(recipe: Recipe, prepared: Prepared, assembled: Assembled, out: Path) -> None:
    """Prove that the policy's adapter is in the engine, and write down which it is."""
    learner, engine = assembled.learner, assembled.engine
    if recipe.lora.init is not None:
        record_start(out, initial_adapter(recipe, prepared.model.path), learner.adapter().hash)
    sizes = recipe.step_completions, recipe.sampling.max_tokens
    canaries = draw_canaries(engine, prepared.splits.validation, recipe.sync, recipe.seed, *sizes)
    AdapterSync(engine, learner, canaries, recipe.sync, prepared.model.dtype).push()


def _keep(found: Harvest, lines: list[dict[str, Any]], recipe: Recipe, out: Path) -> None:
    """Write kept.jsonl, each row with where it came from, and kept.json. RunError where nothing is kept."""
    origin = {"model": recipe.model.path, "recipe": file_hash(out / RECIPE)}
    write_atomically(out / KEPT, to_lines({**row, **origin} for row in kept_rows(found)))
    sampled = {"samples": len(lines), "tokens": sum(num_tokens(line) or 0 for line in lines)}
    write_atomically(out / COUNTS, json.dumps({**sampled, **counts(found)}, indent=2).encode())
    if not found.lines:
        raise RunError(f"{out}: no sample is worth imitating ({found.reasons}); {SAMPLES} has them all")
