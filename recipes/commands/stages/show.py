"""`doubleback show`, and what `doubleback train` ends with, of a recipe of stages or of any other run."""

import shlex
from pathlib import Path

from doubleback.eval.show.console import Console
from doubleback.recipes.commands.stages.outcome import show_result
from doubleback.recipes.commands.stages.result import results, stored_road
from doubleback.recipes.commands.stages.tables import MARKDOWN, show_stages, write_stages
from doubleback.rewards.contract.trust import word_for
from doubleback.rl.run.names import STAGES, is_road
from doubleback.rl.run.owner import owner_of


def show_road(path: Path, console: Console) -> None:
    """How a recipe of stages stands: every stage, both tables so far, and what to do next."""
    road, owner = stored_road(path), owner_of(path)
    found = results(road, path)
    num_finished = sum(it.is_finished for it in found)
    is_over = num_finished == len(found)
    console.print(f"road        {path}: {road.description}", soft_wrap=True)
    console.print(f"state       {f'live: {owner}' if owner else 'finished' if is_over else 'stopped'}", soft_wrap=True)
    console.print(f"stages      {num_finished} of {len(found)} are finished")
    show_stages(road, path, console)
    if owner:
        told = "it goes on by itself; Ctrl-C or SIGTERM there stops and saves it"
    elif is_over:
        told = f"measure the last stage: {shlex.join(['doubleback', 'eval', str(path), '--suite'])} SUITE"
    else:
        word = word_for(road.as_data())
        told = shlex.join(["doubleback", "train", str(path / STAGES), *word, "--out", str(path), "--resume"])
    console.print(f"next        {told}", soft_wrap=True)


def show_outcome(out: Path, console: Console) -> None:
    """What a finished training ends with; of a recipe of stages both tables, written beside the stages too."""
    if not is_road(out):
        show_result(out, console)
        return
    road = stored_road(out)
    console.print()
    show_stages(road, out, console)
    write_stages(road, out)
    console.print(f"tables        {out / MARKDOWN}", soft_wrap=True)
    console.print(f"stages in     {out}", soft_wrap=True)
