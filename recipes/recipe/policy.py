"""The policy that an evaluation measures: a base, a base with an adapter, a run's newest, or one behind an endpoint."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from doubleback.eval.prompts.rendering import Prompted
from doubleback.eval.show.console import Console
from doubleback.recipes.models.bundled import bundled_path
from doubleback.recipes.recipe.schema import TINY_FOLDER, Recipe
from doubleback.recipes.recipe.start import newest_adapter, saved_adapter
from doubleback.rewards.contract.trust import named_code, require_approved
from doubleback.rewards.jsonl import complete_lines
from doubleback.rewards.regular import file_bytes
from doubleback.rewards.settings import read_yaml, require_folder, validated
from doubleback.rewards.types import ConfigError
from doubleback.rl.config import CheckpointConfig, SyncConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.table import engine_row
from doubleback.rl.policy.stored.adapter import ADAPTER_WEIGHTS
from doubleback.rl.run.best import best_step
from doubleback.rl.run.names import METRICS, RECIPE, checkpoint_folder, checkpoint_steps, is_road, is_run, newest_run
from doubleback.rl.types import ModelSource, Sampling

if TYPE_CHECKING:  # it loads transformers, which a look at a run does not need
    from doubleback.recipes.recipe.mixture.strands import Strand

DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True, slots=True)
class Policy:
    """What is measured."""

    model: str
    """A folder, a hub id, `bundled:NAME`, or what an endpoint calls it."""
    adapter: Path | None
    dtype: str
    engine: EngineConfig
    endpoint: str | None
    """Address of an OpenAI-compatible server that has the model, adapter included."""
    head_dtype: str = "float32"
    """Precision in which the logits are computed: a run's own."""
    recipe: Recipe | None = None
    """Of a run: its prompt, mode of thinking, stops and limits are those of its evaluation, unless others are asked."""
    api_key_env: str | None = None
    """The variable of the environment that holds the endpoint's key."""
    mode: "Strand | None" = None
    """Of a run with several: the one that is measured, whose recipe `recipe` then is."""


def engine_settings(name: str, kv_cache_mib: int | Literal["auto"]) -> EngineConfig:
    """The engine that a command's options name. ConfigError where they do not go together."""
    return validated(EngineConfig, {"name": name, "kv_cache_mib": kv_cache_mib}, f"--engine {name}: ")


def recipe_of(run: Path) -> Recipe:
    """The recipe of a run, as its folder holds it. ConfigError where it cannot be read."""
    path = run / RECIPE
    require_approved(code_of_run(run), f"recipe {path}")
    return validated(Recipe, read_yaml(path, "recipe"), f"recipe {path}: ")


def code_of_run(run: Path) -> list[tuple[str, str]]:
    """(key, location) of the code that reading a run's recipe runs: that of its tasks. None of what is no run."""
    data = read_yaml(run / RECIPE, "recipe") if is_run(run) else {}
    return [(key, location) for key, location in named_code(data) if key.endswith("task.name")]


def find_policy(
    model: str,
    *,
    adapter: Path | None,
    endpoint: str | None,
    engine: EngineConfig,
    dtype: str,
    checkpoint: str | None = None,
) -> Policy:
    """The policy that MODEL or RUN names: of a run, its newest adapter on its base, or that of `checkpoint`.

    ConfigError where a checkpoint is not what was saved.
    """
    if dtype not in DTYPES:
        raise ConfigError(f"--dtype {dtype}: choose {' or '.join(DTYPES)}")
    if adapter is not None:
        require_folder(adapter, "--adapter ")
        saved_adapter(adapter)
    model = str(newest_run(Path(model))) if is_road(Path(model)) else model
    if endpoint is not None or not is_run(Path(model)):
        if checkpoint is not None:
            raise ConfigError(f"--checkpoint {checkpoint} is one of a run, and {model} is none; give --adapter DIR")
        return Policy(model, adapter, dtype, engine, endpoint)
    recipe = recipe_of(Path(model))
    if checkpoint is not None:
        adapter = _checkpoint(Path(model), checkpoint, recipe.checkpoint)
    adapter = adapter or newest_adapter(Path(model))
    if adapter is None:
        raise ConfigError(f"{model} is a run without a checkpoint; train it further, or give --adapter DIR")
    saved_adapter(adapter)
    base, dtype, head_dtype = recipe.model.path, str(recipe.model.dtype), str(recipe.model.head_dtype)
    if recipe.tiny:
        base, dtype, head_dtype = str(Path(model) / TINY_FOLDER), "float32", "float32"
    return Policy(base, adapter, dtype, engine, None, head_dtype, recipe)


def _checkpoint(run: Path, asked: str, config: CheckpointConfig) -> Path:
    """The checkpoint of a run that `best` or a step names. ConfigError where it is not there, with those that are."""
    if asked != "best" and not asked.isdecimal():
        raise ConfigError(f"--checkpoint {asked}: give best, or a step")
    if asked == "best" and config.best is None:
        raise ConfigError(f"--checkpoint best: {run} marked none; train with checkpoint.best=eval/validation/pass@1")
    step = best_step(complete_lines(run / METRICS), config) if asked == "best" else int(asked)
    kept = checkpoint_steps(run)
    if step is None or step not in kept:
        kept_steps = ", ".join(map(str, kept)) or "none"
        raise ConfigError(f"--checkpoint {asked}: {run} has none of step {step}; it has those of: {kept_steps}")
    return checkpoint_folder(run, step)


def policy_tokenizer(model: str) -> Any:
    """The tokenizer of a local model."""
    from doubleback.rl.policy.base import load_tokenizer

    return load_tokenizer(bundled_path(model))


def adapter_hash(adapter: Path | None) -> str | None:
    """SHA-256 of the adapter's weights file. ConfigError where it is not there."""
    if adapter is None:
        return None
    weights = adapter / ADAPTER_WEIGHTS
    try:
        return hashlib.sha256(file_bytes(weights)).hexdigest()
    except OSError as error:
        raise ConfigError(f"--adapter {adapter} is no adapter in PEFT's layout: {weights.name}: {error}") from error


@contextmanager
def open_policy(policy: Policy, asked: Prompted, sampling: Sampling, seed: int, console: Console) -> Iterator[Any]:
    """The policy, ready to sample these problems; closed at the end."""
    if policy.endpoint is not None:
        from doubleback.rl.engines.endpoint.engine import EndpointEngine

        asked_of = policy.endpoint, policy.model, asked.conversations, asked.template_options
        engine: Any = EndpointEngine(*asked_of, _say(console), policy.api_key_env)
    else:
        with console.status(f"starting {policy.engine.name}"):
            engine = _local_engine(policy, asked, sampling, seed)
    try:
        yield engine
    finally:
        engine.close()


def _say(console: Console) -> Callable[[str], None]:
    return lambda line: console.print(line, soft_wrap=True)


def _local_engine(policy: Policy, asked: Prompted, sampling: Sampling, seed: int) -> Any:
    """The base in the engine; with an adapter, that too, and proof that it arrived."""
    from doubleback.recipes.models.configuration import configuration
    from doubleback.rl.config import OptimConfig
    from doubleback.rl.engines.create import create_engine
    from doubleback.rl.engines.engine import encode_prompt
    from doubleback.rl.free_memory import free_memory
    from doubleback.rl.learner.learner import Learner
    from doubleback.rl.memory import sampling_cache
    from doubleback.rl.objective.config import AlgorithmConfig
    from doubleback.rl.policy.base import base_tensors, load_base, load_tokenizer
    from doubleback.rl.policy.lora import restore
    from doubleback.rl.sync import CANARY_TOKENS, AdapterSync, draw_canaries

    path = bundled_path(policy.model)
    tokenizer = load_tokenizer(path)
    longest = max(len(encode_prompt(problem, tokenizer)) for problem in asked.problems)
    length = longest + max(sampling.max_tokens, CANARY_TOKENS)
    model = ModelSource(path, policy.dtype, length, policy.head_dtype)
    needs_base = policy.adapter is not None or engine_row(policy.engine.name).needs_base
    base = load_base(model) if needs_base else None
    tensors = base_tensors(base) if base is not None else {}
    try:
        cache = sampling_cache(configuration(path), policy.engine, model, free_memory())
        settings = policy.engine.model_copy(update={"kv_cache_mib": cache})
        setup = settings.setup(model, has_stop_strings=bool(sampling.stop))
        engine = create_engine(setup, tensors, tokenizer)
    except ValueError as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(f"the engine cannot start for prompts of up to {longest} tokens: {reason}") from error
    if policy.adapter is not None:
        learner = Learner(restore(base, policy.adapter), AlgorithmConfig(), OptimConfig(), sampling)
        num_completions = len(asked.problems) * sampling.group_size
        canaries = draw_canaries(engine, asked.problems, SyncConfig(), seed, num_completions, sampling.max_tokens)
        AdapterSync(engine, learner, canaries, SyncConfig(), policy.dtype).push()
    return engine


def merge_policy(policy: Policy, dtype: str | None, out: Path, console: Console) -> None:
    """Write the policy as a plain checkpoint, and say how exact it is."""
    from doubleback.rl.policy.merged_checkpoint import merge_checkpoint
    from doubleback.rl.run.files import whole_folder
    from doubleback.rl.run.owner import owned_output, require_new_folder

    if policy.adapter is None:
        raise ConfigError(f"{policy.model} has no adapter to merge; give --adapter DIR, or a run directory")
    require_new_folder(out)
    with console.status("merging"), owned_output(out), whole_folder(out) as folder:
        report = merge_checkpoint(bundled_path(policy.model), policy.adapter, folder, dtype)
    console.print(f"merged   {report.num_matrices} matrices of {policy.model} with {policy.adapter}")
    console.print(f"rounding {report.rounding:.1e} at most on a weight")
    console.print(f"logits   {report.max_logit:.1e} at most, {report.mean_logit:.1e} on average, from the adapter's")
    console.print(f"model    {out}")
