"""Which published model a run's base is, where that is known, and under which licence."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from doubleback.recipes.models.bundled import BUNDLED, bundled_path
from doubleback.recipes.models.pinned import PINNED

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
SNAPSHOT = re.compile(r"models--([\w.-]+?)--([\w.-]+)/snapshots/(\w+)$", re.ASCII)
"""The end of a folder of the hub's cache: owner, name, commit."""
COMMIT = "commit "
CARD = "README.md"


@dataclass(frozen=True, slots=True)
class Base:
    """What is known of a run's base beside its files."""

    label: str
    """What it is called: its hub id, `bundled:NAME`, or the last name of its folder."""
    hub_id: str | None
    """None where nobody said which published model it is."""
    commit: str | None
    """Of the hub's repository; None where it is not known."""
    licence: str | None
    """As its own card says; None where there is none here."""


def base_of(path: str, given: str | None, inputs: Mapping[str, str]) -> Base:
    """The base at `path`, as a recipe names it. `given`: its hub id, of somebody who knows it; `inputs`: the run's."""
    written = inputs.get(f"model.path={path}", "")
    commit = written.removeprefix(COMMIT) if written.startswith(COMMIT) else None
    hub_id = given
    if (snapshot := SNAPSHOT.search(path)) and given is None:
        hub_id, commit = f"{snapshot[1]}/{snapshot[2]}", snapshot[3]
    elif (pinned := PINNED.fullmatch(path)) and given is None:
        hub_id = pinned["hub_id"]
    elif given is None and HUB_ID.fullmatch(path) and not Path(path).exists():
        hub_id = path
    label = hub_id or (path if path.startswith(BUNDLED) else Path(path).name)
    return Base(label, hub_id, commit, _licence(path, hub_id, commit))


def _licence(path: str, hub_id: str | None, commit: str | None) -> str | None:
    """What the card beside the base says, or the one in the hub's cache; None where there is none, or it says none."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.repocard import metadata_load

    card: object = Path(bundled_path(path, asks_hub=False)) / CARD
    if not Path(str(card)).is_file():
        card = try_to_load_from_cache(hub_id, CARD, revision=commit) if hub_id else None
    if not isinstance(card, str | Path):  # the cache may know that there is none
        return None
    try:
        licence = (metadata_load(card) or {}).get("license")
    except ValueError:  # a card that is no card
        return None
    return licence if isinstance(licence, str) else None
