"""From a recipe's name or path and `key.path=value` overrides to a validated Recipe. Every finding is one line."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from doubleback.eval.shipped import shipped as yaml_files
from doubleback.recipes.schema import Recipe
from doubleback.rewards.plugins import nearest
from doubleback.rewards.types import ConfigError

FOLDER = Path(__file__).parent
BUNDLED = "bundled:"
Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """YAML as people write it: 1e-3 is a number (YAML 1.2), where PyYAML alone reads a string."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def shipped() -> dict[str, Path]:
    """The recipes that come with doubleback, by name."""
    return yaml_files(FOLDER)


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe `name` (shipped, or a path to a YAML file) with overrides. ConfigError lists all findings at once."""
    return validated(Recipe, override(_read(_find(name)), overrides))


def bundled_path(path: str) -> str:
    """`bundled:NAME` as the folder it stands for; anything else as it is. ConfigError for an unknown name."""
    if not path.startswith(BUNDLED):
        return path
    name = path.removeprefix(BUNDLED)
    known = sorted(folder.name for folder in (FOLDER / "bases").iterdir() if (folder / "config.json").is_file())
    if name not in known:
        raise ConfigError(f"model.path={path}: no such base; {nearest(name, known)}")
    return str(FOLDER / "bases" / name)


def override(data: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """`data` with each `key.path=value` put in; values are read as YAML."""
    for item in overrides:
        path, equals, text = item.partition("=")
        if not equals or not path:
            raise ConfigError(f"override {item!r}: write it as key.path=value")
        *sections, last = path.split(".")
        section = data
        for key in sections:
            section = section.setdefault(key, {})
            if not isinstance(section, dict):
                raise ConfigError(f"override {item!r}: {key} is a value, not a section")
        section[last] = _parse_yaml(text, f"override {item!r}")
    return data


def validated(model: type[Model], data: dict[str, Any]) -> Model:
    """`data` as a `model`. ConfigError with one line per finding: key, value, way out."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(_lines(error, model))) from None


def _find(name: str) -> Path:
    known = shipped()
    if name in known:
        return known[name]
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix in (".yaml", ".yml") or "/" in name:
        raise ConfigError(f"recipe {name}: there is no such file")
    raise ConfigError(f"recipe {name!r} is not shipped; {nearest(name, list(known))}")


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"recipe {path} cannot be read: {error}") from error
    data = _parse_yaml(text, f"recipe {path}")
    if not isinstance(data, dict):
        raise ConfigError(f"recipe {path} is not a mapping of keys to values")
    return data


def _parse_yaml(text: str, what: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{what} is not YAML: {' '.join(str(error).split())}") from error


def _lines(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    for item in error.errors():
        location = [str(key) for key in item["loc"]]
        key = ".".join(location)
        match item["type"]:
            case "extra_forbidden":
                yield f"{key}: there is no such key; {nearest(location[-1], _keys(model, location[:-1]))}"
            case "missing":
                yield f"{key}: this key is required and absent"
            case "value_error":
                yield str(item["ctx"]["error"])
            case _:
                yield f"{key}={item['input']!r}: {item['msg'][0].lower()}{item['msg'][1:]}"


def _keys(model: type[BaseModel], sections: Sequence[str]) -> list[str]:
    """The keys that the section at this path has."""
    for name in sections:
        annotation = model.model_fields[name].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)
