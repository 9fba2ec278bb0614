"""The commands whose outcome is a model."""

from pathlib import Path
from typing import Annotated

import typer

from doubleback.eval.show.console import Console
from doubleback.recipes.commands.cli import options
from doubleback.rl.stopping import STOP

console = Console()


def merge(
    model: options.PolicyName,
    out: Annotated[Path, typer.Option(help="Folder of the plain checkpoint.")],
    adapter: Annotated[
        Path | None, typer.Option(help="LoRA adapter in PEFT's layout. Default: a run's newest.")
    ] = None,
    checkpoint: options.CheckpointName = None,
    dtype: Annotated[str | None, typer.Option(help="float32 or bfloat16. Default: as the base is stored.")] = None,
    trust: options.Trust = False,
) -> None:
    """Write base + adapter as a plain transformers checkpoint, summed in float32, and say how exact it is."""
    from doubleback.recipes.recipe.policy import find_policy, merge_policy
    from doubleback.rl.engines.config import EngineConfig

    engine, stored = EngineConfig(), dtype or "float32"
    policy = find_policy(model, adapter=adapter, endpoint=None, engine=engine, dtype=stored, checkpoint=checkpoint)
    merge_policy(policy, dtype, out, console)


def push(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="What it is to be called on the hub.")],
    merged: Annotated[bool, typer.Option("--merged", help="The merged checkpoint instead of the adapter.")] = False,
    public: Annotated[bool, typer.Option("--public", help="For everybody to see. Default: private.")] = False,
    checkpoint: options.CheckpointName = None,
    base: Annotated[str | None, typer.Option(help="Hub id of the base, where the run names a folder.")] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="As the hub writes it: apache-2.0. Default: the base's, if known.")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="With --merged: float32 or bfloat16. Default: the base's.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write what would be pushed into this folder, and push nothing.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="The same, into runs/push-NAME-... where --out names no other.")
    ] = False,
    trust: options.Trust = False,
) -> None:
    """Push a run's adapter, or its merged checkpoint, to the hub, with a model card made from the run."""
    from doubleback.recipes.publish.push import push as push_run

    given = {"merged": merged, "public": public, "base": base, "license": licence, "dtype": dtype}
    STOP.done = "nothing was committed"
    if out is None and dry_run:
        out = options.dated("push-" + name.rpartition("/")[2])
    pushed = push_run(run, name, out=out, checkpoint=checkpoint, console=console, **given)
    console.print(f"files   {', '.join(pushed.files)}", soft_wrap=True)
    console.print(f"pushed  {pushed.url or f'nothing; they are in {pushed.folder}'}", soft_wrap=True)


def upcycle(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A dense Llama or Qwen3: folder or hub id.")],
    out: Annotated[Path, typer.Option(help="Folder of the mixture of experts.")],
    experts: Annotated[int, typer.Option(help="Copies of each feed-forward layer.")] = 4,
    top_k: Annotated[int, typer.Option("--top-k", help="Experts that a token is sent to.")] = 2,
    noise: Annotated[
        float, typer.Option(help="Deviation of the noise on each expert, as a share of the weights' own.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the router's random weights, and of the noise.")] = 0,
) -> None:
    """Write a dense model as a mixture of experts, its feed-forward layers copied: without noise the same function."""
    from doubleback.recipes.models.upcycle import upcycle as upcycle_model

    STOP.done = "nothing of the mixture was kept"
    with console.status("upcycling"):
        made = upcycle_model(model, out=out, experts=experts, top_k=top_k, noise=noise, seed=seed)
    layers = f"{made.num_layers} layers of {model}, {experts} experts in each, a token is sent to {top_k}"
    console.print(f"upcycled {layers}", soft_wrap=True)
    console.print(f"sizes    {made.num_dense:,} -> {made.num_parameters:,} parameters, {made.num_active:,} active")
    console.print(f"logprobs {made.max_gap:.1e} at most, {made.mean_gap:.1e} on average, from the dense model's")
    console.print(f"model    {out} ({made.family})", soft_wrap=True)


def pretrain(
    name: Annotated[str, typer.Argument(metavar="BASE", help="A bundled base (doubleback list).")],
    overrides: options.Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the model. Default: runs/base-BASE.")] = None,
) -> None:
    """Pre-train a bundled tiny base from scratch, as it was made for doubleback."""
    from doubleback.recipes.tasks.pretraining import find_base
    from doubleback.rl.run.owner import owned_output, require_new_folder

    base = find_base(name, overrides or [])
    folder = out or Path("runs") / f"base-{name}"
    require_new_folder(folder)
    STOP.done = "nothing of the base was kept"
    with owned_output(folder):
        base.run(base.settings, folder)
    console.print(f"base model  {folder}")
