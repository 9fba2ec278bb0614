"""Where a base lies: those that come with doubleback as files, and those of the hub at one revision."""

from pathlib import Path

from doubleback.recipes.models.pinned import pinned_path
from doubleback.rewards.nearest import nearest
from doubleback.rewards.types import ConfigError

FOLDER = Path(__file__).parents[1] / "bases"
BUNDLED = "bundled:"


def bundled_path(path: str, *, asks_hub: bool = True) -> str:
    """`bundled:NAME` and `OWNER/NAME@REVISION` as the folder that each stands for; anything else as it is.

    Who reads a run asks no hub: a revision that is not here yet is left as it is then. ConfigError for an unknown one.
    """
    if not path.startswith(BUNDLED):
        return pinned_path(path, asks_hub)
    name = path.removeprefix(BUNDLED)
    names = sorted(folder.name for folder in FOLDER.iterdir() if (folder / "config.json").is_file())
    if name not in names:
        raise ConfigError(f"model.path={path}: no such base; {nearest(name, names)}")
    return str(FOLDER / name)
