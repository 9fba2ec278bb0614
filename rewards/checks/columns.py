"""The columns of anybody's rows that we read ourselves, each with its type: the one place where they are looked at.

What stands in other columns is the business of the reward that names them.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from doubleback.rewards.answers.extract import Style
from doubleback.rewards.answers.messages import completion_text, question_turns
from doubleback.rewards.answers.thinking import find_convention
from doubleback.rewards.nearest import nearest
from doubleback.rewards.types import ConfigError, shortened

TEXT_KEYS = ("completion", "response")
"""Columns that may hold a row's completion; the first that is there does."""
_NAME = (str | int, "text or a whole number")
_YES_OR_NO = (bool | Literal[0, 1], "true or false")
_IDS = (list[int], "a list of whole numbers")
_TYPES: Mapping[str, tuple[Any, str]] = {
    "problem": _NAME,
    "id": _NAME,
    "step": _NAME,
    "sample": _NAME,
    "token_ids": _IDS,
    "completion_ids": _IDS,
    "tokens": (Annotated[float, Field(ge=0, allow_inf_nan=False)], "a number of tokens"),
    "finish_reason": (str, "text"),
    "truncated": _YES_OR_NO,
    "is_truncated": _YES_OR_NO,
    "verdict": (str, "text"),
    "thinking": _YES_OR_NO,
    "thinking_convention": (str, "text"),
}
"""Column -> its type, and what that is called. A column that is null counts as absent."""
OF_PROBLEMS = ("thinking", "thinking_convention")
"""What rewards of ours read of a problem, wherever it comes from; the others are of a sample."""
_READ_BY: Mapping[str, Mapping[str, tuple[Any, str]]] = {
    "countdown": {"numbers": _IDS, "target": (int, "a whole number")},
    "knights": {"statements": (list[str], "a list of texts")},
}
"""Built-in reward -> the columns that it alone reads."""
_ADAPTERS = {name: TypeAdapter(kind) for name, (kind, _) in _TYPES.items()}
_ADAPTERS_OF = {
    reward: {name: TypeAdapter(kind) for name, (kind, _) in columns.items()} for reward, columns in _READ_BY.items()
}


def checked_columns(data: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a row, `style` as one of ours and `question` and `prompt` as text.

    ConfigError names the first column that we read and that is of another type.
    """
    columns = problem_columns(data)
    for name, adapter in _ADAPTERS.items():
        if data.get(name) is not None:
            _require(adapter, name, data[name])
    for name, text_of in (("question", lambda value: question_turns(value)[0]), ("prompt", completion_text)):
        if data.get(name) is not None:
            columns[name] = _as_text(name, data[name], text_of)
    return columns


def problem_columns(data: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a problem's row, those that rewards of ours read being of their types; `style` is one of ours.

    ConfigError names the first that is not.
    """
    columns = dict(data)
    for name in OF_PROBLEMS:
        if data.get(name) is not None:
            _require(_ADAPTERS[name], name, data[name])
    if data.get("thinking_convention") is not None:
        try:
            find_convention(data["thinking_convention"])
        except ConfigError as error:
            raise ConfigError(f"thinking_convention={error}") from None
    if data.get("style") is not None:
        columns["style"] = _style(data["style"])
    return columns


def require_read_by(reward: str, data: Mapping[str, Any]) -> None:
    """ConfigError where a column that this built-in reward reads is there and of another type."""
    for name, (_, what) in _READ_BY.get(reward, {}).items():
        if name in data:
            _require(_ADAPTERS_OF[reward][name], name, data[name], what)


def stored_text(data: Mapping[str, Any]) -> str:
    """The text of a row's completion, one of `TEXT_KEYS`. ValueError where it is neither text nor chat messages."""
    return completion_text(next(data[key] for key in TEXT_KEYS if data.get(key) is not None))


def _require(adapter: TypeAdapter[Any], name: str, value: Any, what: str | None = None) -> None:
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError:
        raise ConfigError(
            f"{name}={shortened(value)} is not {what or _TYPES[name][1]}; mend it or leave it out"
        ) from None


def _style(value: Any) -> Style:
    styles = list(map(str, Style))
    if not isinstance(value, str) or value not in styles:
        raise ConfigError(f"style={shortened(value)}; {nearest(str(value), styles)}")
    return Style(value)


def _as_text(name: str, value: Any, text_of: Callable[[Any], str]) -> str:
    try:
        return text_of(value)
    except ValueError:
        raise ConfigError(f"{name}={shortened(value)} is neither text nor chat messages that end with it") from None
