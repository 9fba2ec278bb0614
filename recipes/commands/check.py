"""What can be known of a recipe before a token is trained."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import fsum
from pathlib import Path

from rich.table import Table
from transformers import PretrainedConfig

from doubleback.eval.measures.contamination import NGRAM, overlap
from doubleback.eval.show.console import Console
from doubleback.recipes.commands.progress import Share, Standing, watching
from doubleback.recipes.models.bundled import bundled_path
from doubleback.recipes.models.configuration import configuration
from doubleback.recipes.recipe.assembly import Assembled, Prepared, assemble, prepare, recipe_memory, sized
from doubleback.recipes.recipe.imitation.teacher import described
from doubleback.recipes.recipe.mixture.strands import own_problems, strands
from doubleback.recipes.recipe.probe import NUM_PROBLEMS, NUM_SERVED, add_rows, probe, warnings
from doubleback.recipes.recipe.scale.words import placement_rows
from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.trl import trainer as trl_trainer
from doubleback.rewards.answers.grade import gold_answers
from doubleback.rewards.checks.golds import listed, matched_as_text_only
from doubleback.rewards.compose.config import RewardConfig
from doubleback.rewards.types import Problem, shortened
from doubleback.rl.config import LoraSettings
from doubleback.rl.engines.table import engine_row
from doubleback.rl.free_memory import free_memory
from doubleback.rl.memory import GIB, verdict
from doubleback.rl.policy import lora
from doubleback.rl.policy.families import expert_rank, num_experts
from doubleback.rl.threads import in_words, sharing_cores
from doubleback.rl.types import ModelSource

LABEL_WIDTH = 26


def show_memory(recipe: Recipe, console: Console) -> None:
    """Parameters and memory per phase, from the configuration alone."""
    path = bundled_path(recipe.model.path)
    table = _table("memory, estimated")
    config = configuration(path)
    settings = sized(recipe, config, recipe.model.dtype)
    memory = recipe_memory(settings, config, recipe.model.dtype)
    table.add_row("base", f"{recipe.model.path}: {memory.num_parameters:,} parameters, {recipe.model.dtype}")
    table.add_row("adapter", f"{memory.num_adapter:,} parameters, {_ranks(recipe.lora, config)}")
    for label, size in (
        ("always", memory.resident),
        ("update", memory.update),
        ("sync", memory.sync),
    ):
        table.add_row(label, f"{size / GIB:.1f} GiB")
    table.add_row("sizes", _sizes(recipe, settings))
    table.add_row("estimate", verdict(memory, free_memory()))
    console.print(table)


def check_recipe(recipe: Recipe, console: Console) -> None:
    """Show all of it: data, adapter, what the base does. ConfigError or RunError where it cannot train."""
    with sharing_cores(recipe.num_processes), prepared_watched(recipe, console) as prepared:
        if recipe.trainer == "trl":
            trl_trainer.refuse(recipe, prepared.longest_prompt)
        table = _table("data")
        _add_data(table, recipe, prepared)
        console.print(table)
        settings = sized(recipe, configuration(prepared.model.path), prepared.model.dtype)
        with assemble(settings, prepared.model, console) as assembled:
            preflight(recipe, prepared, assembled, console)


@contextmanager
def prepared_watched(recipe: Recipe, console: Console, tiny_folder: Path | None = None) -> Iterator[Prepared]:
    """`prepare`, with a sign of life where there are many golds to be graded."""
    share = Share()
    with ExitStack() as stack:
        with watching(console, "grading the golds", share.in_words):
            prepared = stack.enter_context(prepare(recipe, tiny_folder, share))
        yield prepared


def preflight(recipe: Recipe, prepared: Prepared, assembled: Assembled, console: Console) -> None:
    """What training starts with: the adapter, the memory, and what the base does on a few problems."""
    table = _table("model, and what the base does")
    _add_model(table, recipe, prepared.model, assembled)
    if prepared.teacher is not None:
        table.add_row("teacher", described(prepared.teacher, assembled.num_base))
    num_samples = NUM_PROBLEMS * recipe.sampling.group_size + NUM_SERVED * recipe.sampling.group_size
    standing = Standing(assembled.engine, num_samples, recipe.sampling.max_tokens)
    with watching(console, "sampling from the base", standing.in_words):
        probed = probe(recipe, prepared, assembled)
    add_rows(table, probed)
    console.print(table)
    for line in [*_memory_warning(assembled), *warnings(probed, recipe)]:
        console.print(f"warning: {line}", style="yellow", highlight=False, soft_wrap=True)


def _table(title: str) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, title=title, title_justify="left")
    table.add_column(min_width=LABEL_WIDTH)  # one column down the page, though it is several tables
    table.add_column()
    return table


def _memory_warning(assembled: Assembled) -> list[str]:
    text = verdict(assembled.memory, assembled.free)
    return [] if text.startswith("fits") else [f"memory (estimate): {text}"]


def _add_data(table: Table, recipe: Recipe, prepared: Prepared) -> None:
    splits, everything = prepared.splits, prepared.splits.everything
    sizes = f"{len(splits.train)} train, {len(splits.validation)} validation, {len(splits.test)} test"
    table.add_row("problems", sizes)
    for line in prepared.skipped:
        table.add_row("", line)
    table.add_row("golds", f"{len(everything)} of {len(everything) + len(prepared.dropped)} graded correct")
    for line in listed(prepared.dropped):
        table.add_row("", line)
    if all("answer" in problem.columns for problem in everything):
        table.add_row("", _text_only(everything))
    limit = f"+ {recipe.sampling.max_tokens} of {prepared.model.max_length}"
    table.add_row("prompts", f"longest {prepared.longest_prompt} tokens, {limit}")
    for name, other in (("validation", splits.validation), ("test", splits.test)):
        table.add_row(f"{name} in train", _contamination(other, splits.train))
    _add_strands(table, recipe, prepared)
    num_problems, what = recipe.rollout.prompts_per_step, "step"
    if recipe.kind == "sample":
        num_problems, what = len(splits.train[: recipe.harvest.problems]), "samples"
    rollouts = num_problems * recipe.sampling.group_size
    table.add_row(what, f"{num_problems} problems x {recipe.sampling.group_size} = {rollouts} rollouts")


def _add_strands(table: Table, recipe: Recipe, prepared: Prepared) -> None:
    """The reward; of several tasks or modes the share of each, its prompt, its length and its reward."""
    found = strands(recipe)
    if len(found) == 1:
        table.add_row("reward", _described(recipe.reward))
        return
    total = fsum(strand.weight for strand in found)
    for strand in found:
        own, prompt = strand.recipe, shortened(strand.recipe.task.prompt)
        num_problems = len(own_problems(prepared.splits.train, strand))
        table.add_row(
            f"{'mode' if strand.is_mode else 'task'} {strand.name}",
            f"{strand.weight / total:.0%} of a step, of {num_problems} train; prompt {prompt}, up to "
            f"{own.sampling.max_tokens} tokens",
        )
        table.add_row("", f"reward: {_described(own.reward)}")


def _add_model(table: Table, recipe: Recipe, model: ModelSource, assembled: Assembled) -> None:
    stand_in = "a tiny stand-in for " if recipe.tiny else ""
    table.add_row("base", f"{stand_in}{recipe.model.path}: {assembled.num_base:,} parameters, {_dtype(model)}, frozen")
    model_config = assembled.learner.model.config
    for part in lora.trained_parts(assembled.learner.model):
        rank = _expert_rank(recipe.lora, model_config) if part.part == "experts" else part.rank
        table.add_row(
            f"trains {part.part}",
            f"{part.num_parameters:,} parameters ({part.num_parameters / assembled.num_base:.1%} of the base) in "
            f"{part.num_tensors} tensors on {part.num_matrices} matrices, rank {rank}",
        )
    table.add_row("memory", f"{verdict(assembled.memory, assembled.free)} (estimate)")
    table.add_row("sizes", _sizes(recipe, assembled.recipe))
    if assembled.site is None:
        table.add_row("threads", in_words(recipe.num_engine_processes, recipe.scale.trainers))
    else:
        for label, text in placement_rows(assembled.recipe, assembled.site, assembled.memory):
            table.add_row(label, text)
    table.add_row("sync", f"{assembled.strategy.name}: {assembled.strategy.reason}")


def _dtype(model: ModelSource) -> str:
    return model.dtype if model.head_dtype == model.dtype else f"{model.dtype} with its head in {model.head_dtype}"


def _ranks(settings: LoraSettings, config: PretrainedConfig) -> str:
    has_experts = num_experts(config) > 0 and settings.targets != "attention"
    return f"rank {settings.rank}" + (f", experts {_expert_rank(settings, config)}" if has_experts else "")


def _expert_rank(settings: LoraSettings, config: PretrainedConfig) -> str:
    """The rank of each expert's matrices, and how it came about where the recipe leaves it open."""
    rank = expert_rank(config, settings)
    is_given = settings.expert_rank is not None
    return f"{rank}" if is_given else f"{rank} (rank {settings.rank} // {config.num_experts_per_tok} active experts)"


def _sizes(recipe: Recipe, settings: Recipe) -> str:
    """The sizes that are taken, and which of them were computed from the memory that is free."""
    computed = {"tokens a microbatch": (recipe.optim.microbatch_tokens, settings.optim.microbatch_tokens)}
    if "kv_cache_mib" in engine_row(recipe.engine.name).reads:
        computed["MiB of key-value cache"] = (recipe.engine.kv_cache_mib, settings.engine.kv_cache_mib)
    marks = {what: " (auto)" if asked == "auto" else "" for what, (asked, _) in computed.items()}
    sizes = ", ".join(f"{taken} {what}{marks[what]}" for what, (_, taken) in computed.items())
    return sizes + (f"; auto fills {recipe.memory_share:.0%} of what is free at most" if any(marks.values()) else "")


def _contamination(suite: Sequence[Problem], training: Sequence[Problem]) -> str:
    """How many problems of one set stand in the other (`eval.measures.contamination`)."""
    shared = overlap(
        *([(it.id, str(it.columns.get("question", it.prompt))) for it in part] for part in (suite, training))
    )
    examples = [f"{first} is {second}" for first, second in (*shared.exact, *shared.masked, *shared.ngram)][:2]
    counts = f"{len(shared.exact)} exact, {len(shared.masked)} with other numbers, {len(shared.ngram)} by {NGRAM} words"
    return f"{counts} of {len(suite)}" + (f": {', '.join(examples)}" if examples else "")


def _described(reward: RewardConfig) -> str:
    """The components with their weights, the judge and the gates."""
    parts = []
    for name, component in reward.components.items():
        gate = component.only_if
        condition = f" if {gate.component} >= {gate.at_least:g}" if gate else ""
        judge = " (judge)" if name == reward.judge_name else ""
        parts.append(f"{name} x {component.weight:g}{judge}{condition}")
    return ", ".join(parts) + (", multiplied" if reward.combine == "product" else "")


def _text_only(problems: Sequence[Problem]) -> str:
    """How many golds are out of reach for the later stages of equality, with the first few."""
    rows = matched_as_text_only([problem.columns["answer"] for problem in problems])
    golds = ", ".join(str(gold_answers(problems[row].columns["answer"])[0])[:40] for row in rows[:3])
    return f"{len(rows)} can be matched as text only" + (f": {golds}" if golds else "")
