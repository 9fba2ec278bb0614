"""What several commands take: arguments, options, and the folder that a command writes into."""

from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer


def trusted(is_asked: bool) -> bool:
    """Let whatever files name run, where that is asked."""
    if is_asked:
        from doubleback.rewards.contract.trust import EVERYTHING, approve  # what --help and --version need not load

        approve([EVERYTHING])
    return is_asked


RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A shipped recipe (doubleback list) or a YAML file.")]
RewardName = Annotated[
    str | None, typer.Option("--reward", help="A name (doubleback list), package.module:attr or path.py:attr.")
]
RewardArguments = Annotated[
    list[str] | None, typer.Option("--arg", metavar="KEY=VALUE", help="A keyword argument of the reward; repeatable.")
]
Conversational = Annotated[
    bool, typer.Option("--conversational", help="The reward reads chat messages, as TRL's own do.")
]
Environment = Annotated[
    list[str] | None,
    typer.Option("--env", metavar="NAME", help="A variable that the reward needs; repeatable."),
]
Timeout = Annotated[float, typer.Option(min=0.01, max=3600, help="Limit in seconds of a completion in a worker.")]
Trust = Annotated[
    bool,
    typer.Option("--trust", callback=trusted, help="Run the code that the recipe, suite or run names."),
]
PolicyName = Annotated[
    str, typer.Argument(metavar="MODEL|RUN", help="Folder, hub id, bundled:NAME, or a run directory.")
]
CheckpointName = Annotated[
    str | None, typer.Option("--checkpoint", metavar="best|STEP", help="Of a run: which. Default: its newest.")
]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[key.path=value ...]", help="Settings to change.")]


def folder_for(out: Path | None, name: str, is_private: bool = False) -> AbstractContextManager[Path]:
    """The folder asked for, or a new one under runs, of this name and the time, that no other command has."""
    from doubleback.rl.run.owner import claimed

    return nullcontext(out) if out else claimed(dated(name), is_private)


def dated(name: str) -> Path:
    """A folder under runs, of this name and the time."""
    return Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
