"""`evaluate` and `compare`, for Python and the command line alike."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from doubleback.eval.compare import ComparedEvaluations, Evaluated, load_evaluated
from doubleback.eval.compare import compare as compare_evaluated
from doubleback.eval.show.console import Console
from doubleback.eval.suites.suite import code_of_suite
from doubleback.recipes.commands.evaluate import Options, evaluate_policy
from doubleback.recipes.commands.modes import conclude, in_mode, modes_of
from doubleback.recipes.recipe.policy import code_of_run, engine_settings, find_policy
from doubleback.recipes.recipe.results import Run
from doubleback.rewards.contract.trust import approve
from doubleback.rewards.settings import Section, validated
from doubleback.rewards.types import ConfigError
from doubleback.rl.config import MOST_SAMPLES


class EvaluationOptions(Section):
    """What `evaluate` takes beside model, suite and folder: the options of `doubleback eval`."""

    data: str | Path | None = None
    """JSON lines instead of the suite's own source."""
    prompt: str | None = None
    """A prompt (doubleback list) or a YAML file. Default: that of the run, or the suite's, for a chat model its chat
    prompt."""
    n: Annotated[int, Field(ge=1, le=MOST_SAMPLES)] = 1
    """Samples per problem."""
    k: list[Annotated[int, Field(ge=1)]] | None = None
    """Which pass@k and maj@k to show. Default: 1 and n."""
    temperature: Annotated[float, Field(ge=0)] | None = None
    """Default: 0 for one sample, else that of the run, or 1."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Longest completion. Default: that of the run, or of the suite."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Every sample's seed derives from it."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Only the first problems."""
    skip_bad: bool = False
    """Leave bad rows out, and say which."""
    thinking: Literal["on", "off"] | None = None
    """The mode of a model that can think or not; what its template does by itself where it is not given."""
    ban: tuple[str, ...] = ()
    """Words that the policy may not say, a token each; the other tokens share their probability."""
    mode: str | None = None
    """Of a run that was trained in several modes (docs/modes.md): the one to measure; `evaluate_modes` measures all."""
    adapter: str | Path | None = None
    """A LoRA adapter in PEFT's layout. Default: a run's newest."""
    checkpoint: str | None = None
    """Of a run: `best`, as checkpoint.best says, or a step, instead of the newest."""
    endpoint: str | None = None
    """Address of an OpenAI-compatible server that serves the model."""
    api_key_env: str | None = None
    """The variable of the environment that holds the endpoint's key. Default: for OpenAI's own host OPENAI_API_KEY."""
    engine: str = "vllm"
    """Who generates: vllm, transformers, or an engine at path.py:attr."""
    dtype: str = "float32"
    """float32 or bfloat16; a run has its own."""
    kv_cache_mib: Annotated[int, Field(ge=16)] | Literal["auto"] = "auto"
    """vLLM: memory of the key-value cache. `auto`: what its sequences can fill, in half of what is free at most."""
    trust: bool = False
    """Run the code that the suite's file, or the run's recipe, names."""


def evaluate(
    model: str | Path | Run, suite: str, *, out: str | Path, console: Console | None = None, **options: Any
) -> Evaluated:
    """Measure a policy on a suite into the folder `out`, and return what was found.

    `model` is a folder, a hub id, `bundled:NAME` or a run, whose newest adapter is measured; `options` are those of
    `EvaluationOptions`. The same call continues an evaluation that was interrupted. ConfigError, one line each, for
    what does not fit.
    """
    given = validated(EvaluationOptions, options, "evaluate: ")
    if given.trust:
        _approve(model, suite)
    policy = find_policy(
        str(model.path if isinstance(model, Run) else model),
        adapter=None if given.adapter is None else Path(given.adapter),
        endpoint=given.endpoint,
        engine=engine_settings(given.engine, given.kv_cache_mib),
        dtype=given.dtype,
        checkpoint=given.checkpoint,
    )
    if given.api_key_env is not None and given.endpoint is None:
        raise ConfigError(f"--api-key-env {given.api_key_env} is for an --endpoint, and none is given")
    policy = replace(in_mode(policy, given.mode, given.thinking), api_key_env=given.api_key_env)
    shared = {"prompt", "n", "temperature", "max_tokens", "seed", "limit", "skip_bad", "ban"}
    data = None if given.data is None else Path(given.data)
    asked = Options(suite, data, k=tuple(given.k or ()), **given.model_dump(include=shared))
    thinking = None if given.thinking is None else given.thinking == "on"
    evaluate_policy(policy, asked, thinking, Path(out), console or Console())
    return load_evaluated(Path(out))


def _approve(model: str | Path | Run, suite: str) -> None:
    run = model.path if isinstance(model, Run) else Path(model)
    approve(location for _, location in [*code_of_suite(suite), *code_of_run(run)])


def evaluate_modes(
    run: str | Path | Run, suite: str, *, out: str | Path, console: Console | None = None, **options: Any
) -> dict[str, Evaluated]:
    """Measure every mode that a run was trained in, each into a folder of `out` by its name, and show them side by side
    with the price of thinking, which `modes.json` in `out` has too.

    `options` are those of `EvaluationOptions`. ConfigError where `run` has no modes.
    """
    path, console = run.path if isinstance(run, Run) else Path(run), console or Console()
    if options.get("trust"):
        _approve(path, suite)
    if not (names := modes_of(path)):
        raise ConfigError(f"{path} is no run with modes; evaluate measures it")
    evaluated = {
        name: evaluate(path, suite, out=Path(out) / name, console=console, **{**options, "mode": name})
        for name in names
    }
    conclude(evaluated, Path(out), console)
    return evaluated


def compare(first: str | Path | Evaluated, second: str | Path | Evaluated, force: bool = False) -> ComparedEvaluations:
    """Two evaluations of the same problems, paired: the second minus the first, with intervals and what flipped.

    ConfigError where their data, prompt or sampling differ, unless `force`.
    """
    before, after = (item if isinstance(item, Evaluated) else load_evaluated(Path(item)) for item in (first, second))
    return compare_evaluated(before, after, force)
