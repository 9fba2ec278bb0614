"""The command line. Parses and validates before anything heavy is imported."""

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from doubleback.rewards.types import ConfigError, RunError

app = typer.Typer(
    help="GRPO with verifiable rewards for a LoRA adapter on an open mixture-of-experts model, on one machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
console = Console()
errors = Console(stderr=True, soft_wrap=True, highlight=False)

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe (doubleback list) or a YAML file.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[key.path=value ...]", help="Settings to change.")]


@app.command("list")
def list_everything() -> None:
    """Recipes, rewards and bases that come with doubleback, a line each."""
    from doubleback.recipes.catalogue import catalogue

    console.print(catalogue())


@app.command()
def check(recipe: RecipeName, overrides: Overrides = None) -> None:
    """Validate a recipe, grade the gold answers, measure the prompts. Starts no training."""
    from doubleback.recipes.loading import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    from doubleback.recipes.preflight import preflight

    console.print(preflight(loaded))


@app.command()
def train(
    recipe: RecipeName,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Run directory. Default: runs/RECIPE-DATE-TIME.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out exactly where it stopped.")
    ] = False,
) -> None:
    """Train a recipe, measure before and after, and show the difference."""
    from doubleback.recipes.loading import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    if resume and out is None:
        raise ConfigError("--resume needs --out RUN: the run directory to continue")
    folder = out or Path("runs") / f"{Path(recipe).stem}-{datetime.now():%Y%m%d-%H%M%S}"
    from doubleback.recipes.run import run_recipe

    run_recipe(loaded, folder, resume, console)


@app.command()
def pretrain(
    name: Annotated[str, typer.Argument(metavar="BASE", help="A bundled base (doubleback list).")],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the model. Default: runs/base-BASE.")] = None,
) -> None:
    """Pre-train a bundled tiny base from scratch, as it was made for doubleback."""
    from doubleback.recipes.countdown.bases import base_config

    config = base_config(name, overrides or [])
    folder = out or Path("runs") / f"base-{name}"
    if folder.exists():
        raise ConfigError(f"--out {folder} exists already; choose another folder")
    from doubleback.recipes.countdown.pretrain import pretrain as run_pretraining

    run_pretraining(config, folder)
    console.print(f"base model  {folder}")


def main() -> None:
    """Entry point. User errors: one line each, exit 2. A run that had to stop: one line, exit 1."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        app()
    except ConfigError as error:
        for line in str(error).splitlines():
            errors.print(f"[bold red]error:[/] {_plain(line)}")
        sys.exit(2)
    except RunError as error:
        errors.print(f"[bold red]stopped:[/] {_plain(str(error))}")
        sys.exit(1)
    except KeyboardInterrupt:
        errors.print("interrupted; continue with --resume --out RUN")
        sys.exit(130)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
