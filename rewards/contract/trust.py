"""Which code may run. A recipe is a program: `function: mine.py:brief` imports mine.py, and calls what it says.

What the user names runs: a word of the command line, an argument in Python. What a file names that does not come with
doubleback (a recipe, a suite, a table of data, a run's recipe.yaml) runs once the user has said so: `--trust`, or
`trust=True`. What has been said holds for the rest of the process.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from doubleback.rewards.contract.imports import code_files
from doubleback.rewards.contract.lookup import is_location
from doubleback.rewards.types import ConfigError, shortened

EVERYTHING = "*"
"""Stands for whatever a file names."""
NAMED_IN = ("task", "engine")
"""Sections whose key `name` may say where code lies."""
KEYS = ("function", "advantage", "surrogate")
"""Keys that may say so wherever they stand."""
NUM_FILES = 20
"""Files of a location that are listed."""
_approved: set[str] = set()


def approve(locations: Iterable[str]) -> None:
    """Let these run: the user has named them, or has said that they may."""
    _approved.update(locations)


def forget() -> None:
    """Begin anew: nothing has been said."""
    _approved.clear()


def named_code(settings: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(key, location) of all code that settings name: rewards, tasks, engines, functions of the algorithm."""
    if isinstance(settings, list):
        for item in settings:
            yield from named_code(item, key)
    if not isinstance(settings, Mapping):
        return
    section = key.rpartition(".")[2]
    for name, value in settings.items():
        place = f"{key}.{name}" if key else str(name)
        is_code = name in KEYS or (name == "name" and section in NAMED_IN)
        if is_code and isinstance(value, str) and is_location(value):
            yield place, value
        elif section == "components" and is_location(str(name)):
            yield place, str(name)  # what has no function is its own
        yield from named_code(value, place)


def word_for(settings: Any) -> list[str]:
    """The word that a command needs which reads these settings from a file; none where they name no code."""
    return ["--trust"] if any(named_code(settings)) else []


def require_approved(found: Iterable[tuple[str, str]], what: str) -> None:
    """ConfigError, with a line for each location that the user has not approved and the files that it would run."""
    lines = [
        f"{key}={shortened(location)} runs {_files(location)}"
        for key, location in dict.fromkeys(found)
        if not {location, EVERYTHING} & _approved
    ]
    if lines:
        head = f"{what} is not of doubleback, and names code that would run; read it, then say so: --trust"
        raise ConfigError("\n".join([head, *lines]))


def _files(location: str) -> str:
    """The files of a location, its own first, as they are seen from here."""
    place = location.rpartition(":")[0]
    files = [_from_here(file) for file in code_files(place)]
    more = f" and {len(files) - NUM_FILES} more files" if len(files) > NUM_FILES else ""
    return ", ".join(files[:NUM_FILES]) + more if files else f"{shortened(place)}, which is not there"


def _from_here(file: Path) -> str:
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)
