"""A base of the hub at one revision: `OWNER/NAME@REVISION`, as data sets are named too."""

import re
from pathlib import Path

from doubleback.rewards.types import ConfigError, first_line

PINNED = re.compile(r"(?P<hub_id>[\w.-]+/[\w.-]+)@(?P<revision>[\w./-]+)", re.ASCII)
READ = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
"""What of a repository is fetched: weights that hold no code, configuration, tokenizer."""
COMMIT = re.compile(r"models--[\w.-]+?--[\w.-]+/snapshots/(\w+)", re.ASCII)
"""In a folder of the hub's cache: the commit that lies there."""


def pinned_path(path: str, asks_hub: bool = True) -> str:
    """`OWNER/NAME@REVISION` as the folder of the hub's cache with that revision, fetched where it is not there yet.

    Anything else as it is, and without `asks_hub` what is not there yet too. ConfigError where the hub has it not, or
    cannot be asked.
    """
    named = PINNED.fullmatch(path)
    if named is None or Path(path).exists():
        return path
    from huggingface_hub import constants, snapshot_download  # 0.5 s that a base from a folder does not spend
    from huggingface_hub.utils import httpx  # the client that it uses

    try:
        folder: str = snapshot_download(
            named["hub_id"],
            revision=named["revision"],
            allow_patterns=list(READ),
            local_files_only=constants.HF_HUB_OFFLINE or not asks_hub,
        )
    except (httpx.HTTPError, OSError, ValueError) as error:
        if not asks_hub:
            return path
        raise ConfigError(
            f"model.path={path}: no such revision is to be had ({first_line(error)}); name a branch, tag or commit of "
            f"{named['hub_id']}, or give a folder"
        ) from error
    return folder


def commit_of(folder: Path) -> str | None:
    """The commit whose files lie in a folder of the hub's cache; None for any other folder."""
    found = COMMIT.search(folder.as_posix())
    return found[1] if found else None
