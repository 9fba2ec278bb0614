"""The parts of a recipe, put together: problems, reward, base, learner, engine."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import PretrainedConfig

from doubleback.eval.show.console import Console
from doubleback.recipes.models.bundled import bundled_path
from doubleback.recipes.models.configuration import configuration
from doubleback.recipes.recipe.imitation.demonstrations import demonstrated
from doubleback.recipes.recipe.imitation.teacher import find_teacher
from doubleback.recipes.recipe.mixture.gather import graded, read_texts, scorer_of, together
from doubleback.recipes.recipe.mixture.strands import strand_engine
from doubleback.recipes.recipe.policy import Policy
from doubleback.recipes.recipe.scale.gradients import gradients
from doubleback.recipes.recipe.scale.site import Site, open_site
from doubleback.recipes.recipe.schema import Recipe
from doubleback.recipes.recipe.start import initial_adapter
from doubleback.recipes.recipe.suites import MeasuredSuite, further_suites, own_suites
from doubleback.recipes.recipe.tiny import make_tiny
from doubleback.recipes.tasks.task import Splits
from doubleback.rewards.checks.golds import Unscorable
from doubleback.rewards.jsonl import left_out
from doubleback.rewards.records import read_record
from doubleback.rewards.types import ConfigError
from doubleback.rl.engines.create import create_engine, engines_elsewhere
from doubleback.rl.engines.delivery import choose
from doubleback.rl.engines.engine import Engine
from doubleback.rl.engines.setup import Strategy
from doubleback.rl.free_memory import free_memory
from doubleback.rl.learner.learner import Learner
from doubleback.rl.memory import Memory, Plan, Sizes, estimate, sizes, verdict
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import base_tensors, is_cuda, load_base, load_tokenizer
from doubleback.rl.policy.families import family_of
from doubleback.rl.policy.initial import start_from
from doubleback.rl.rollout.scoring import Scorer
from doubleback.rl.run.names import ENVIRONMENT
from doubleback.rl.types import ModelSource


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is known before a model is loaded."""

    splits: Splits
    dropped: list[Unscorable]
    """Problems that were left out, since their own gold is not graded correct."""
    reward: Scorer
    model: ModelSource
    """The recipe's, from the folder of a bundled base or of a tiny one."""
    longest_prompt: int
    """Tokens."""
    suites: Mapping[str, MeasuredSuite]
    """What is measured in training, by name."""
    demonstrations: Mapping[str, str]
    """With kind=sft: id of a training problem -> the completion that is given for it."""
    teacher: Policy | None = None
    """With kind=distil."""

    @property
    def skipped(self) -> list[str]:
        """A line for each key that left rows out: how many, and the first of them."""
        return [left_out(lines, key) for key, lines in self.splits.skipped.items()]


@dataclass(frozen=True, slots=True)
class Assembled:
    """Trainer and engine on one frozen base."""

    recipe: Recipe
    """With every size as it was taken."""
    learner: Learner
    engine: Engine
    strategy: Strategy
    num_base: int
    """Parameters of the base."""
    memory: Memory
    """What all of it will take, estimated."""
    free: int
    """Bytes that were free before anything was loaded."""
    site: Site | None = None
    """Where engines and gradient workers are, if it is on a cluster."""


@contextmanager
def prepare(
    recipe: Recipe, tiny_folder: Path | None = None, observe: Callable[[float], None] = lambda share: None
) -> Iterator[Prepared]:
    """The recipe's problems, each with a gold that its reward accepts and a prompt that fits. Closes the reward.

    With recipe.tiny the model is a tiny one, in `tiny_folder` if it is to stay. `observe` is told which share of the
    golds is graded.
    """
    recipe.algorithm.require_functions()
    with ExitStack() as stack:
        parts = graded(recipe, stack, observe)
        model = recipe.model.source(bundled_path(recipe.model.path))
        if recipe.tiny:
            folder = tiny_folder or Path(stack.enter_context(TemporaryDirectory(prefix="doubleback-tiny-")))
            said, has_chat = read_texts(parts)
            model = make_tiny(model, said, recipe.seed, folder, has_chat)
        tokenizer = load_tokenizer(model.path)
        splits, longest_prompt = together(parts, tokenizer)
        demonstrations: Mapping[str, str] = {}
        if recipe.kind == "sft":
            given = demonstrated(splits, recipe, tokenizer)
            splits, demonstrations = given.splits, given.completions
        teacher = find_teacher(recipe, tokenizer) if recipe.kind == "distil" else None
        reward, dropped = scorer_of(parts), [item for part in parts for item in part.dropped]
        suites = own_suites(recipe, splits, reward) | further_suites(recipe, tokenizer, model.max_length, stack)
        yield Prepared(splits, dropped, reward, model, longest_prompt, suites, demonstrations, teacher)


def recipe_memory(recipe: Recipe, config: PretrainedConfig, dtype: str) -> Memory:
    """The estimate of `rl.memory`, with the delivery chosen here; with a cluster that of the trainer alone."""
    memory = estimate(config, memory_plan(recipe, dtype), is_cuda())
    return memory if recipe.scale.cluster_key is None else replace(memory, num_engines=0, kv_cache=0)


def sized(recipe: Recipe, config: PretrainedConfig, dtype: str, kept: Sizes | None = None) -> Recipe:
    """The recipe with numbers in the place of sizes on `auto`: those `kept`, else what the free memory has room for."""
    chosen = kept or sizes(config, memory_plan(recipe, dtype), is_cuda(), free_memory(), recipe.memory_share)
    optim, engine = recipe.optim, recipe.engine
    if optim.microbatch_tokens == "auto":
        optim = optim.model_copy(update={"microbatch_tokens": chosen.microbatch_tokens})
    if engine.kv_cache_mib == "auto":
        engine = engine.model_copy(update={"kv_cache_mib": chosen.kv_cache_mib})
    return recipe.model_copy(update={"optim": optim, "engine": engine})


def kept_sizes(out: Path) -> Sizes | None:
    """The sizes that the run in `out` took, which it keeps when it is resumed; None where it says none."""
    stored = read_record(out / ENVIRONMENT).get("sizes")
    return None if stored is None else Sizes(stored["microbatch_tokens"], stored["kv_cache_mib"])


def memory_plan(recipe: Recipe, dtype: str) -> Plan:
    """What the recipe says that takes memory."""
    length, tokens, head = recipe.model.max_length, recipe.held_tokens, recipe.model.head_dtype
    sections = recipe.lora, recipe.optim, recipe.engine
    beside = recipe.scale.trainers if recipe.scale.cluster_key is None else 0
    return Plan(dtype, *sections, recipe.sync.strategy, length, tokens, head, beside)


@contextmanager
def assemble(
    recipe: Recipe, model: ModelSource, console: Console, restore: Callable[[Learner], int] = lambda learner: 0
) -> Iterator[Assembled]:
    """Learner and engine, started; `restore` may load a checkpoint into the learner and return its
    step. At step 0 it has the adapter of `lora.init`. Closes the engine.

    ConfigError where not even the weights will fit, before they are loaded.
    """
    memory, free = recipe_memory(recipe, configuration(model.path), model.dtype), free_memory()
    if memory.resident > free:
        raise ConfigError(f"model.path={recipe.model.path} {verdict(memory, free)}")
    with ExitStack() as stack:
        with console.status(f"starting {recipe.engine.name} and the trainer"):
            say = partial(console.print, style="yellow", highlight=False, soft_wrap=True)
            site = stack.enter_context(open_site(recipe))
            base = load_base(model)
            num_base = base.num_parameters()
            tensors = base_tensors(base)  # the trainer's own, from which the engine's merged weights are computed
            computed_by, require_started = stack.enter_context(gradients(recipe, model, tensors, say, site))
            learner = Learner(
                lora.attach(base, recipe.lora, recipe.seed),
                recipe.algorithm,
                recipe.optim,
                recipe.learned_sampling,
                recipe.steps,
                computed_by,
            )
            targets = lora.targets(learner.model)
            family, kind = family_of(base.config), recipe.engine.name
            strategy = choose(recipe.sync.strategy, targets, family, kind, is_cuda(), model.dtype)
            if restore(learner) == 0 and recipe.lora.init is not None:
                start_from(learner.model, initial_adapter(recipe, model.path))
            tokenizer, has_stop_strings = load_tokenizer(model.path), bool(recipe.sampling.stop or recipe.eval.suites)
            setup = recipe.engine.setup(model, strategy, has_stop_strings)
            if site is None:
                created = create_engine(setup, tensors, tokenizer, is_apart=recipe.rollout.ahead, say=say)
            else:
                setup = replace(setup, processes=site.placement.num_engines)
                created = engines_elsewhere(site.engine, setup, say, site.cluster.share)
            engine = stack.enter_context(closing(strand_engine(recipe, created)))
            require_started()
        yield Assembled(recipe, learner, engine, strategy, num_base, memory, free, site)
