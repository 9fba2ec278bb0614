"""Settings as people write them: sections that refuse unknown keys, YAML, overrides, "did you mean".

One reader for recipes, suites and prompts. Pure Python; importing this loads no torch.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from doubleback.rewards.nearest import nearest
from doubleback.rewards.regular import file_text
from doubleback.rewards.strict_yaml import parse_yaml
from doubleback.rewards.types import ConfigError, shortened

OPTION = re.compile(r"str|int|float|bool|callable|constrained-\w+|(list|dict|literal)\[.*\]")
"""What pydantic calls the options of a type that are no sections."""
LARGEST = 10**12
"""What no number of a setting exceeds in size: products of two still fit into float32."""
Model = TypeVar("Model", bound=BaseModel)
Seconds = Annotated[float, Field(gt=0, le=86_400)]
"""A limit on a wait: a day at most, which no clock overflows, times the completions of a group."""
Mebibytes = Annotated[int, Field(ge=1, le=1 << 30)]
"""Memory: a pebibyte at most."""


@dataclass(frozen=True, slots=True)
class MayChange:
    """Beside a key: a run that is resumed may have another value there, for its result does not depend on it."""

    note: str = ""
    """What differs all the same."""
    only_up: bool = False
    """The value may grow alone."""
    where: tuple[str, object] | None = None
    """Key and the value that it must have; with others the result does depend on the value here."""


def may_change(field: FieldInfo) -> MayChange | None:
    """The mark beside a key; None where a resumed run has to keep its value."""
    return next((mark for mark in field.metadata if isinstance(mark, MayChange)), None)


class Section(BaseModel):
    """A frozen section of a recipe. Unknown keys are errors."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, strict=True, allow_inf_nan=False
    )
    short_for: ClassVar[str | None] = None
    """The key that a bare value in the place of the section is short for: `format: 0.2` for `format: {weight: 0.2}`."""

    @classmethod
    def chosen(cls, data: Any) -> "type[Section]":
        """The section that reads `data`: this one, where it does not stand for several."""
        return cls

    @model_validator(mode="before")
    @classmethod
    def _bare_value(cls, data: Any) -> Any:
        is_bare = cls.short_for is not None and not isinstance(data, Mapping | BaseModel)
        return {cls.short_for: data} if is_bare else data

    @field_validator("*")
    @classmethod
    def _numbers_are_moderate(cls, value: Any) -> Any:
        numbers = value if isinstance(value, list) else [value]
        if any(isinstance(number, int | float) and not abs(number) <= LARGEST for number in numbers):
            raise PydanticCustomError("too_large", f"a number of a setting is at most {LARGEST:.0e} in size")
        return value

    def without_effect(self, section: str, keys: Sequence[str], because: str, way_out: str) -> Iterator[str]:
        """A finding for each of `keys` that was changed although the value of `because` ignores it."""
        for key in keys:
            value, default = getattr(self, key), type(self).model_fields[key].default
            if value != default:
                yield (
                    f"{section}.{key}={_as_yaml(value)} has no effect with {section}.{because}="
                    f"{_as_yaml(getattr(self, because))}; leave it at {_as_yaml(default)} or set {because} to {way_out}"
                )


def _as_yaml(value: object) -> str:
    return "null" if value is None else str(value)


def shipped(folder: Path) -> dict[str, Path]:
    """The YAML files of a folder, by name."""
    return {path.stem: path for path in sorted(folder.glob("*.yaml"), key=lambda path: path.stem)}


def load_section(name: str, folder: Path, section: type[Model], what: str) -> Model:
    """The file `name` of the folder, or at the path `name`, as a `section`. ConfigError, one line a finding."""
    path = find_yaml(name, folder, what)
    return validated(section, read_yaml(path, what), f"{what} {path}: ")


def find_yaml(name: str, folder: Path, what: str) -> Path:
    """The file `name` of the folder, or the one at the path `name`. ConfigError where there is neither."""
    files = shipped(folder)
    if name in files:
        return files[name]
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        raise ConfigError(f"{what} {name} is a folder; give a YAML file")
    if path.suffix in (".yaml", ".yml") or "/" in name:
        raise ConfigError(f"{what} {name}: there is no such file")
    raise ConfigError(f"{what} {name!r} is no YAML file and not shipped; {nearest(name, files)}")


def require_folder(path: str | Path, key: str) -> None:
    """ConfigError where no folder stands at `path`, which `key` names: a missing folder is called a missing folder."""
    if not Path(path).is_dir():
        what = "is a file, not a folder" if Path(path).exists() else "there is no such folder"
        raise ConfigError(f"{key}{path}: {what}")


def read_yaml(path: Path, what: str) -> dict[str, Any]:
    """The mapping in a YAML file. ConfigError where it cannot be read, or is something else."""
    try:
        text = file_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what} {path} cannot be read: {error}") from error
    data = parse_yaml(text, f"{what} {path}")
    if not isinstance(data, dict):
        raise ConfigError(f"{what} {path} is not a mapping of keys to values")
    return data


Overrides = Sequence[str] | Mapping[str, Any]
"""`key.path=value` as people write it, or in Python {"key.path": value}."""


def override(data: dict[str, Any], overrides: Overrides, section: type[BaseModel] | None = None) -> dict[str, Any]:
    """`data` with each override put in; of text the value is read as YAML, but for a key that holds text alone.

    With the `section` that it is for, a bare value and the key it is short for are one thing: `format=0.1` leaves the
    other keys of `format: {weight: 0.2, ...}` as they are, and `format.weight=0.1` overrides `format: 0.2`.
    """
    if isinstance(overrides, Mapping):
        items = list(overrides.items())
    else:
        items = [_read_override(item, section) for item in overrides]
    for path, value in items:
        *keys, last = path.split(".")
        place, kind = data, section
        for key in keys:
            kind = _inside(kind, key)
            short, held = _short_for(kind), place.setdefault(key, {})
            if not isinstance(held, dict):
                if short is None or held is None:
                    raise ConfigError(f"override '{path}={value}': {key} is a value, not a section")
                held = place[key] = {short: held}
            place = held
        short = _short_for(_inside(kind, last))
        if short is not None and isinstance(place.get(last), dict) and not isinstance(value, dict):
            place[last][short] = value
        else:
            place[last] = value
    return data


def on_top_of(start: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`own` on top of `start`, section by section: where both have a key, `own` wins."""
    return {
        key: on_top_of(start[key], own[key])
        if isinstance(start.get(key), Mapping) and isinstance(own.get(key), Mapping)
        else own.get(key, start.get(key))
        for key in {**start, **own}
    }


def _read_override(item: str, section: type[BaseModel] | None) -> tuple[str, Any]:
    """(key, value). For a key that holds text alone what YAML reads as a list, a mapping or nothing at all is text."""
    path, equals, text = item.partition("=")
    if not equals or not path:
        raise ConfigError(f"override {item!r}: write it as key.path=value")
    kind: Any = section
    for key in path.split("."):
        kind = _inside(kind, key)
    is_text = kind is str or {*get_args(kind)} == {str, type(None)}
    try:
        value = parse_yaml(text, f"override {item!r}")
    except ConfigError:
        if is_text:
            return path, text
        raise
    return path, text if is_text and isinstance(value, dict | list) else value


def validated(model: type[Model], data: Any, prefix: str = "") -> Model:
    """`data` as a `model`. ConfigError with one line per finding, behind `prefix`: key, value, way out."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{prefix}{line}" for line in _lines(error, model, data))) from None


def _lines(error: ValidationError, model: type[BaseModel], data: Any) -> Iterator[str]:
    unfit: dict[str, list[str]] = {}
    for item in error.errors():
        location = [str(key) for key in item["loc"]]
        key = ".".join(location)
        match item["type"]:
            case "extra_forbidden":
                yield f"{key}: there is no such key; {nearest(location[-1], _keys(model, location[:-1], data))}"
            case "missing":
                yield f"{key}: this key is required and absent"
            case "value_error":
                yield str(item["ctx"]["error"])
            case _:
                # Of `str | list` pydantic names each option that did not fit behind the key, as if it were a key.
                place = ".".join(location[:-1] if location and OPTION.fullmatch(location[-1]) else location)
                said = f"{item['msg'][0].lower()}{item['msg'][1:]}"
                unfit.setdefault(f"{place}={shortened(item['input'])}", []).append(said)
    for place, said_of_it in unfit.items():
        yield f"{place}: {' or '.join(dict.fromkeys(said_of_it))}"


def _keys(model: type[BaseModel], keys: Sequence[str], data: Any) -> list[str]:
    """The keys that the section at this path of `data` has."""
    kind: Any = model
    for key in keys:
        kind = _inside(kind, key)
        data = data.get(key) if isinstance(data, Mapping) else None
    sections = (option for option in _options(kind) if _is_section(option))
    return [name for it in sections for name in (it.chosen(data) if issubclass(it, Section) else it).model_fields]


def _inside(kind: Any, key: str) -> Any:
    """The type of what stands at `key` in a value of the type `kind`; None where it has no such key."""
    for option in _options(kind):
        if _is_section(option) and key in option.model_fields:
            return option.model_fields[key].annotation
        if get_origin(option) in (dict, Mapping):
            return get_args(option)[1]
    return None


def _short_for(kind: Any) -> str | None:
    """The key that a bare value is short for where a section of this type stands."""
    keys = (option.short_for for option in _options(kind) if _is_section(option) and issubclass(option, Section))
    return next((key for key in keys if key is not None), None)


def _options(kind: Any) -> list[Any]:
    """What a type may be: `Gate | None` is a Gate or None."""
    is_one = kind is None or isinstance(kind, type) or get_origin(kind) in (dict, Mapping)
    return [kind] if is_one else [option for inner in get_args(kind) for option in _options(inner)]


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
