"""The command line. Parses and validates before anything heavy is imported."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from doubleback.eval.show.console import Console
from doubleback.eval.show.ending import Commands, ended, go_on_in
from doubleback.recipes.commands.cli import models, options, runs
from doubleback.rewards.types import ConfigError
from doubleback.rl.stopping import STOP

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
console = Console()
errors = Console(stderr=True, soft_wrap=True, highlight=False)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from importlib import metadata

        console.print(f"doubleback {metadata.version('doubleback')}", highlight=False)
        raise typer.Exit()


@app.callback()
def doubleback(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """GRPO with verifiable rewards for a LoRA adapter on an open mixture-of-experts model, on one machine."""


@app.command("list")
def list_everything() -> None:
    """Recipes, models, data, tasks, rewards, suites, prompts and bases that come with doubleback, a line each."""
    from doubleback.recipes.commands.list import catalogue

    console.print(catalogue())


@app.command()
def check(
    recipe: Annotated[str | None, typer.Argument(metavar="RECIPE", help="A shipped recipe or a YAML file.")] = None,
    overrides: options.Overrides = None,
    reward: options.RewardName = None,
    arguments: options.RewardArguments = None,
    data: Annotated[Path | None, typer.Option(help="With --reward: JSON lines with `answer` or `completion`.")] = None,
    answer: Annotated[str, typer.Option(help="With --data: the field that holds the gold.")] = "answer",
    style: Annotated[str | None, typer.Option(help="With --reward: the one answer style that it reads.")] = None,
    form: Annotated[bool, typer.Option("--form", help="With --reward: it judges form, not right and wrong.")] = False,
    conversational: options.Conversational = False,
    environment: options.Environment = None,
    timeout: options.Timeout = 2.0,
    trust: options.Trust = False,
    memory: Annotated[
        bool, typer.Option("--memory", help="Only estimate the memory, from the model's configuration alone.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only estimate a step on 1 to 512 GPUs, from the configuration alone.")
    ] = False,
    gpu: Annotated[str, typer.Option(help="With --plan: H100, H200, A100 or L40S.")] = "H100",
    mean_tokens: Annotated[
        int | None, typer.Option(min=1, help="With --plan: a completion's. Default: half of sampling.max_tokens.")
    ] = None,
    prompt_tokens: Annotated[int | None, typer.Option(min=1, help="With --plan: a prompt's. Default: 200.")] = None,
) -> None:
    """Validate a recipe, grade the gold answers, measure the prompts; or try a reward. Starts no training."""
    if (recipe is None) == (reward is None):
        raise ConfigError("check wants a RECIPE or --reward NAME, and not both")
    if reward is not None:
        from doubleback.recipes.commands.score import check_reward, one_reward

        config = one_reward(reward, arguments or [], conversational, timeout, environment or [])
        if not check_reward(config, data, answer, style, form, console):
            sys.exit(1)
        return
    from doubleback.recipes.recipe.loading import load_recipe

    loaded = load_recipe(str(recipe), overrides or [], trust=trust)
    from doubleback.recipes.commands.planning.show import Asked
    from doubleback.recipes.commands.stages.check import check_all, show_memory_of_all, show_plan_of_all

    STOP.done = "nothing was written"
    if plan:
        show_plan_of_all(loaded, Asked(gpu, mean_tokens, prompt_tokens), console)
    elif memory:
        show_memory_of_all(loaded, console)
    else:
        check_all(loaded, console)


@app.command()
def score(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|RUN|HUB-ID",
            help="Rows with `completion` (or `response`): JSON lines, Parquet, CSV, OWNER/NAME; a run: its rollouts.",
        ),
    ],
    reward: options.RewardName = None,
    arguments: options.RewardArguments = None,
    out: Annotated[Path | None, typer.Option(help="Scored rows. Default: FILE.scored.jsonl, or in RUN/scored.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite scored rows that exist.")] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave bad rows out, counted; the first are named.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show where strict, flexible, math-verify and the reward differ, and why.")
    ] = False,
    conversational: options.Conversational = False,
    environment: options.Environment = None,
    timeout: options.Timeout = 2.0,
) -> None:
    """Grade stored completions: verdicts and which of them changed, latencies, and the rows with their scores."""
    from doubleback.recipes.commands.score import Options, one_reward, score_completions

    STOP.done = "no scores were written"
    config = one_reward(reward or "math", arguments or [], conversational, timeout, environment or [])
    score_completions(path, config, Options(out, force, skip_bad, explain), console)


@app.command()
def harvest(
    path: Annotated[
        Path, typer.Argument(metavar="RUN|EVAL|FILE", help="A run's rollouts, an evaluation, or scored rows.")
    ],
    out: Annotated[Path | None, typer.Option(help="Rows to imitate. Default: harvest.jsonl in the folder.")] = None,
    per_problem: Annotated[int | None, typer.Option(min=1, help="Most samples of a problem. Default: all.")] = None,
    shortest: Annotated[bool, typer.Option("--shortest", help="Of more, the shortest; else by chance.")] = False,
    any_form: Annotated[bool, typer.Option("--any-form", help="Keep right answers that lack the form too.")] = False,
    balance: Annotated[bool, typer.Option("--balance", help="As many problems of each difficulty.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="What chance derives from.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite rows that exist.")] = False,
) -> None:
    """Keep the samples that are worth imitating (rejection sampling), for `demonstrations.source` of kind sft."""
    from doubleback.recipes.commands.samples.harvest import harvest_samples
    from doubleback.recipes.recipe.imitation.harvest import HarvestOptions

    order = "shortest" if shortest else "random"
    given = {"per_problem": per_problem, "order": order, "keeps_form": not any_form, "balance": balance, "seed": seed}
    harvest_samples(path, HarvestOptions.model_validate(given), out, force, console)


@app.command()
def train(
    recipe: options.RecipeName,
    overrides: options.Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Run directory. Default: runs/NAME-DATE-TIME.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out exactly where it stopped.")
    ] = False,
    trust: options.Trust = False,
) -> None:
    """Train a recipe, measure before and after, and show the difference."""
    from doubleback.recipes.recipe.loading import load_recipe

    loaded = load_recipe(recipe, overrides or [], trust=trust)
    if resume and out is None:
        raise ConfigError("--resume needs --out RUN: the run directory to continue")
    from doubleback.recipes.commands.stages.show import show_outcome
    from doubleback.recipes.commands.stages.train import train as train_recipe
    from doubleback.rl.run.files import private_files

    name = loaded.name or Path(recipe).stem
    with options.folder_for(out, name, loaded.private) as folder, private_files(loaded.private):
        console.print(f"folder  {folder}", soft_wrap=True)
        go_on_in(folder, is_resumed=loaded.trainer != "trl")
        train_recipe(loaded, folder, resume=resume, console=console)
        show_outcome(folder, console)


@app.command("eval")
def evaluate(
    model: options.PolicyName,
    suite: Annotated[str, typer.Option(help="A suite (doubleback list) or a YAML file.")],
    data: Annotated[Path | None, typer.Option(help="JSON lines instead of the suite's own source.")] = None,
    adapter: Annotated[
        Path | None, typer.Option(help="LoRA adapter in PEFT's layout. Default: a run's newest.")
    ] = None,
    checkpoint: options.CheckpointName = None,
    endpoint: Annotated[str | None, typer.Option(help="OpenAI-compatible server that serves MODEL: .../v1")] = None,
    api_key_env: Annotated[
        str | None, typer.Option(help="Variable that holds its key. Default: OPENAI_API_KEY, for OpenAI alone.")
    ] = None,
    n: Annotated[int, typer.Option(min=1, help="Samples per problem.")] = 1,
    k: Annotated[str, typer.Option(help="Which pass@k and maj@k to show: 1,4,16. Default: 1 and n.")] = "",
    prompt: Annotated[
        str | None, typer.Option(help="A prompt (doubleback list), a YAML file, or a text with {question} in it.")
    ] = None,
    thinking: Annotated[str | None, typer.Option(help="on, off, or both, compared.")] = None,
    mode: Annotated[str | None, typer.Option(help="Of a run with modes: one of them. Default: all, compared.")] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="Default: 0 for one sample, else the run's, or 1.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest completion. Default: the run's, or the suite's.")
    ] = None,
    ban: Annotated[
        list[str] | None, typer.Option(metavar="WORD", help="A word that the policy may not say; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Every sample's seed derives from it.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first problems.")] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave bad rows out, counted; the first are named.")
    ] = False,
    engine: Annotated[str, typer.Option(help="vllm, transformers, or path.py:attr.")] = "vllm",
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    kv_cache_mib: Annotated[
        int | None, typer.Option(min=16, help="vLLM: memory of the key-value cache. Default: by what is free.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder. The same command continues there. Default: runs/eval-...")
    ] = None,
    trust: options.Trust = False,
) -> None:
    """Measure a policy on a suite: pass@k with intervals, a curve, and every sample."""
    if thinking not in (None, "on", "off", "both"):
        raise ConfigError(f"--thinking {thinking}: choose on, off or both")
    from doubleback.recipes.commands.evaluate import parse_ks, show_comparison
    from doubleback.recipes.commands.measure import evaluate as evaluate_policy
    from doubleback.recipes.commands.measure import evaluate_modes
    from doubleback.recipes.commands.modes import modes_of

    ks = list(parse_ks(k, n))
    rows = {"data": data, "limit": limit, "skip_bad": skip_bad, "prompt": prompt}
    sampling = {
        "n": n,
        "k": ks,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "seed": seed,
        "ban": tuple(ban or ()),
    }
    cache: int | str = "auto" if kv_cache_mib is None else kv_cache_mib
    policy = {"adapter": adapter, "checkpoint": checkpoint, "endpoint": endpoint, "api_key_env": api_key_env}
    served = {"engine": engine, "dtype": dtype, "kv_cache_mib": cache}
    given: dict[str, Any] = {**sampling, **rows, **policy, **served, "console": console}
    with options.folder_for(out, f"eval-{Path(suite).stem}") as folder:
        console.print(f"folder  {folder}", soft_wrap=True)
        go_on_in(folder)
        if mode is None and thinking is None and modes_of(model):
            evaluate_modes(model, suite, out=folder, **given)
            return
        if thinking != "both":
            evaluate_policy(model, suite, out=folder, thinking=thinking, mode=mode, **given)
            return
        for mode in ("on", "off"):
            evaluate_policy(model, suite, out=folder / f"thinking-{mode}", thinking=mode, **given)
        show_comparison(folder / "thinking-on", folder / "thinking-off", force=False, console=console)


app.command()(models.merge)
app.command()(models.push)
app.command()(models.upcycle)


@app.command("compare")
def compare_evaluations(
    first: Annotated[Path, typer.Argument(metavar="A", help="Folder of an evaluation, or a run's: its test problems.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Folder of another, of the same problems.")],
    force: Annotated[bool, typer.Option("--force", help="Compare although data or prompt differ.")] = False,
) -> None:
    """Compare two evaluations, or two runs on their test problems, paired by problem: difference with interval and
    p-value, and what flipped.
    """
    from doubleback.recipes.commands.evaluate import show_comparison

    show_comparison(first, second, force, console)


app.command()(models.pretrain)
app.command()(runs.show)
app.command()(runs.verify)
app.command()(runs.export)
app.command()(runs.report)


def main() -> None:
    """Entry point. User errors: one line each, exit 2. A run that had to stop: one line, exit 1. Interrupted: one line
    that says how to go on, exit 130 or 143.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding has no character for some that we show: escaped, not a traceback.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with STOP.listening():
        ended(app, errors)
