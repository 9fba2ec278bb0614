"""A reward function by its name: an entry point, an import path or a file; with its keyword arguments checked."""

import importlib
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from doubleback.rewards.contract.functions import GIVEN, ScoreFunction, with_arguments
from doubleback.rewards.contract.imports import INSTALLED, find_beside
from doubleback.rewards.nearest import nearest
from doubleback.rewards.types import ConfigError

GROUP = "doubleback.rewards"
"""Entry point group in which a package offers reward functions by name."""
STDLIB = Path(sysconfig.get_path("stdlib")).resolve()
_MARKS = GIVEN | {"completion_ids"}
"""A function that takes one of these is a reward function; one that takes none makes reward functions."""


def is_location(name: str) -> bool:
    """Whether `name` says where a function lies: `package.module:attr` or `path.py:attr`."""
    return ":" in name


def offered(group: str = GROUP) -> dict[str, EntryPoint]:
    """What installed packages offer under an entry point group, by name."""
    return {point.name: point for point in entry_points(group=group)}


def locate(target: str, key: str, group: str) -> Any:
    """The object that `target` names: an entry point of `group`, `package.module:attr` or `path.py:attr`.

    Runs the code of its module. ConfigError names `key` for what is missing.
    """
    if not is_location(target):
        points = offered(group)
        if target not in points:
            raise ConfigError(f"{key}: no installed package offers {target!r} in {group}; {nearest(target, points)}")
        target = points[target].value
    return at_location(target, key)


def at_location(location: str, key: str) -> Any:
    """The object at `package.module:attr` or `path.py:attr`. Runs the code of its module.

    ConfigError names `key` for what is missing, and for functions and classes that are defined elsewhere: a recipe
    that somebody sends names code that was written for it, not os.system.
    """
    place, _, attribute = location.rpartition(":")
    if not place.endswith(".py") and place.partition(".")[0] in sys.stdlib_module_names:
        raise ConfigError(f"{key}: {location} is of Python's standard library; name a module of yours, or a file")
    module = _load_file(Path(place), key) if place.endswith(".py") else _load_module(place, key)
    located: Any = module
    for name in attribute.split("."):
        if not hasattr(located, name):
            public = [attribute_name for attribute_name in dir(located) if not attribute_name.startswith("_")]
            raise ConfigError(f"{key}: {place} has no {name!r}; {nearest(name, public)}")
        located = getattr(located, name)
    if inspect.isroutine(located) or inspect.isclass(located):
        _require_defined_in(module, located, f"{key}: {location}")
    return located


def _require_defined_in(module: ModuleType, located: Any, what: str) -> None:
    home = located.__module__
    # A package may export what another module of it defines, as trl.rewards does.
    if (home or "").partition(".")[0] != module.__name__.partition(".")[0]:
        raise ConfigError(f"{what} is defined in {home or 'no module'}; name the function where it is defined")


def load_function(target: str, arguments: Mapping[str, Any], key: str) -> Callable[..., Any]:
    """The reward function at `target`, ready to call. Runs the code of its module.

    A class is instantiated, and a function that takes neither prompts nor completions is called, with `arguments`; of a
    reward function they are set for every call. ConfigError names `key` for whatever is missing or does not fit.
    """
    function = locate(target, key, GROUP)
    if not callable(function):
        raise ConfigError(f"{key}: {target} is no function, but {type(function).__name__}")
    return prepare(function, arguments, key)


def prepare(function: Any, arguments: Mapping[str, Any], key: str) -> Callable[..., Any]:
    """`function`, a class or a factory of one, with `arguments`. ConfigError where they do not fit."""
    if isinstance(function, ScoreFunction):
        _check_arguments(function.function, arguments, key)
        return function.bind(arguments) if arguments else function
    is_factory = inspect.isclass(function) or not _is_reward(function)
    _check_arguments(function, arguments, key, needs_all=is_factory)
    if is_factory:
        made: Callable[..., Any] = function(**arguments)
        if not callable(made):
            raise ConfigError(f"{key}: {function.__name__} returned {type(made).__name__}, not a reward function")
        return made
    return with_arguments(function, arguments) if arguments else function


def _is_reward(function: Any) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return any(item.kind == item.VAR_KEYWORD or item.name in _MARKS for item in parameters)


def _check_arguments(function: Any, arguments: Mapping[str, Any], key: str, needs_all: bool = False) -> None:
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    # **kwargs takes any name, and so would take a misspelt one: what is set must be named.
    parameters = {item.name: item for item in inspect.signature(function).parameters.values() if item.kind in kinds}
    lines = [
        f"{key}: {function.__name__} has no parameter {name!r}; {nearest(name, parameters.keys() - _MARKS)}"
        for name in arguments
        if name not in parameters or name in _MARKS
    ]
    lines += [
        f"{key}: {function.__name__} needs {name!r}, which is not set"
        for name, item in parameters.items()
        if needs_all and item.default is item.empty and name not in arguments
    ]
    if lines:
        raise ConfigError("\n".join(lines))


def _load_file(path: Path, key: str) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"{key}: there is no file {path}; write path.py:attr, from the folder you run in")
    path = path.resolve()
    if path.is_relative_to(STDLIB) and not set(INSTALLED) & {*path.parts}:
        raise ConfigError(f"{key}: {path} is of Python's standard library; name a module of yours, or a file")
    find_beside(path)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{key}: {path} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def _load_module(name: str, key: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        is_here = Path(name.replace(".", "/")).with_suffix(".py").is_file()
        way_out = "; write path.py:attr for a file of this folder" if is_here else ""
        raise ConfigError(f"{key}: there is no module {error.name!r} to import {name!r} from{way_out}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{key}: {name!r} is no module name; write package.module:attr or path.py:attr") from error
