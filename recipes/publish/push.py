"""`push`, for Python and the command line alike: a run's adapter, or its merged checkpoint, to the hub or a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from doubleback.eval.show.console import Console
from doubleback.recipes.models.bundled import BUNDLED
from doubleback.recipes.publish.card import card
from doubleback.recipes.publish.facts import Facts, read_facts
from doubleback.recipes.publish.folder import write_adapter, write_merged, write_papers
from doubleback.recipes.publish.hub import require_name, require_same_visibility, require_token, upload
from doubleback.recipes.recipe.policy import find_policy
from doubleback.recipes.recipe.results import Run
from doubleback.rewards.settings import Section, validated
from doubleback.rewards.types import ConfigError
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.run.files import whole_folder
from doubleback.rl.run.owner import owned_output, require_new_folder


class PushOptions(Section):
    """What `push` takes beside run, name and folder: the options of `doubleback push`."""

    merged: bool = False
    """The base with its adapter as a plain checkpoint, in the place of the adapter."""
    public: bool = False
    """For everybody to see. A repository that is there already must be so, too."""
    checkpoint: str | None = None
    """`best`, as checkpoint.best says, or a step, instead of the newest."""
    base: str | None = None
    """The hub id of the base, where the run names a folder."""
    license: str | None = None
    """As the hub writes it: `apache-2.0`. Default: the base's, where its card lies here."""
    dtype: str | None = None
    """Of the merged checkpoint: float32 or bfloat16; as the base is stored where it is not given."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What came of a push."""

    url: str | None
    """The address of the commit; None where it went into a folder."""
    folder: Path | None
    """The folder; None where it went to the hub."""
    files: tuple[str, ...]
    """Names of what was written."""


def push(
    run: str | Path | Run, name: str, *, out: str | Path | None = None, console: Console | None = None, **options: Any
) -> Pushed:
    """Push a run's newest adapter, with a model card made from the run, to OWNER/NAME on the hub, in one commit.

    With `out` it is written into that folder, and no network is asked; `options` are those of `PushOptions`. The token
    is huggingface_hub's. ConfigError, one line each, for what does not fit; RunError where the hub fails.
    """
    given, console = validated(PushOptions, options, "push: "), console or Console()
    folder = (run if isinstance(run, Run) else Run(run)).path
    require_name(name)
    if given.base is not None:
        require_name(given.base, "--base ")
    if given.dtype is not None and not given.merged:
        raise ConfigError(f"--dtype {given.dtype} is for a merged checkpoint; add --merged, or leave it out")
    policy = find_policy(
        str(folder),
        adapter=None,
        endpoint=None,
        engine=EngineConfig(),
        dtype=given.dtype or "float32",
        checkpoint=given.checkpoint,
    )
    if policy.recipe is None or policy.adapter is None:
        raise ConfigError(f"{folder} is a run without a checkpoint; train it further")
    facts = read_facts(folder, policy.recipe, policy.adapter, given.base)
    if out is None:
        require_token()
        require_same_visibility(name, given.public)
    report = None
    with _folder(None if out is None else Path(out)) as filled:
        if given.merged:
            with console.status("merging"):
                report = write_merged(policy.model, policy.adapter, given.dtype, filled)
        else:
            write_adapter(policy.adapter, facts, filled)
        write_papers(facts, folder, card(facts, name, given.license, report), filled)
        files = tuple(sorted(path.name for path in filled.iterdir()))
        for line in _remarks(facts):
            console.print(line, soft_wrap=True)
        if out is None:
            with console.status(f"pushing to {name}"):
                what = "merged checkpoint" if given.merged else "adapter"
                url = upload(filled, name, given.public, f"{what[0].upper()}{what[1:]} of step {facts.step}")
            return Pushed(url, None, files)
    return Pushed(None, Path(out), files)


def _remarks(facts: Facts) -> Iterator[str]:
    """What somebody who pushes should know."""
    for key in facts.left_out:
        yield f"left out {key}, which looks like a secret"
    if facts.base.hub_id is None and not facts.recipe.tiny and not facts.base.label.startswith(BUNDLED):
        known = "--base OWNER/NAME names the published model that it is; --merged takes it along"
        yield f"base    {facts.base.label} is a folder here: {known}"


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    """A folder to fill: one that becomes `out` once it is whole, or one that is gone afterwards."""
    if out is None:
        with TemporaryDirectory(prefix="doubleback-push-") as folder:
            yield Path(folder)
        return
    require_new_folder(out)
    with owned_output(out), whole_folder(out) as unfinished:
        yield unfinished
