"""YAML files by name: those that come with doubleback, and those of a user."""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import ValidationError

from doubleback.rewards.plugins import nearest
from doubleback.rewards.types import ConfigError
from doubleback.rl.config import Section

Kind = TypeVar("Kind", bound=Section)


def shipped(folder: Path) -> dict[str, Path]:
    """The YAML files of a folder, by name."""
    return {path.stem: path for path in sorted(folder.glob("*.yaml"), key=lambda path: path.stem)}


def load_section(name: str, folder: Path, section: type[Kind], what: str) -> Kind:
    """The file `name` of the folder, or at the path `name`, as a `section`. ConfigError, one line a finding."""
    known = shipped(folder)
    path = known.get(name, Path(name))
    if name not in known and path.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--{what} {name}: there is no such {what}; {nearest(name, known)}, or give a YAML file")
    try:
        return section.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what} {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{what} {path} is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        lines = [f"{what} {path}: {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise ConfigError("\n".join(lines)) from None
