"""The commands that make the same again, go on, measure and compare."""

import shlex
from collections.abc import Sequence

from doubleback.recipes.report.blocks import Block, Code, Section
from doubleback.recipes.report.content import RunContent
from doubleback.rewards.contract.trust import word_for
from doubleback.rl.run.names import RECIPE


def commands(runs: Sequence[RunContent]) -> Section:
    """To be given in the folder that holds the runs."""
    names = [run.path.absolute().name if run.path.absolute().name == run.label else run.label for run in runs]
    blocks: list[Block] = []
    for run, name in zip(runs, names, strict=True):
        title = "Make it again" if len(runs) == 1 else f"Make {name} again"
        words = ["train", f"{name}/{RECIPE}", *word_for(run.recipe), "--out"]
        blocks.append(Code(title, _words(*words, f"{name}-again")))
        if run.state.word in ("stopped", "killed") and run.recipe["trainer"] != "trl":
            blocks.append(Code(f"Go on with {name}", _words(*words, name, "--resume")))
    checks = [
        *(_words("verify", name) for name in names),
        _words("compare", names[0], (names[1:] or [f"{names[0]}-again"])[0]),
    ]
    blocks.append(Code("Check its files; compare the test problems, paired", "\n".join(checks)))
    blocks.append(Code("Write this report again", _words("report", *names)))
    intro = (
        "They are for the folder that holds the run. Its recipe.yaml has every setting: the same machine, packages and "
    )
    intro += "seed give the same bits."
    return Section("commands", "Commands", blocks, intro)


def _words(*words: str) -> str:
    return shlex.join(["doubleback", *words])
