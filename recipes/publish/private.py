"""What of a run's settings is nobody else's: folders of this machine, secrets, and rows that were given in Python."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from doubleback.rewards.types import ConfigError

LEFT_OUT = "(left out)"
"""Stands in the place of a secret."""
SECRET_KEY = re.compile(
    r"(^|[_-])((api|access|secret|private|auth)[_-]?key|(api|access|auth|hf)[_-]?token|token|secret|"
    r"password|passwd|credentials?)$",
    re.IGNORECASE,
)
"""Names of keys under which a text is taken for a secret."""
SECRET_VALUE = re.compile(
    r"\bhf_\w{20,}|\bsk-[\w-]{16,}|\bgh[pousr]_\w{20,}|\bAKIA[0-9A-Z]{16}\b|://[^/\s:@]+:[^/\s@]+@"
)
"""What keys of well-known services look like, and a password in an address."""
WORDS = ("tokenizer.json", "vocab.json")
"""Files of words of a language, which may well be names of folders."""


def shareable(value: Any, key: str = "") -> tuple[Any, list[str]]:
    """Settings as they may be read by anybody, and the keys whose value was left out for a secret.

    A path becomes its last name: /home/ann/rewards.py:brief -> rewards.py:brief. Rows become their number and hash.
    """
    if isinstance(value, Mapping):
        inner = {name: shareable(it, f"{key}.{name}" if key else str(name)) for name, it in value.items()}
        return {name: clean for name, (clean, _) in inner.items()}, [it for _, keys in inner.values() for it in keys]
    if isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value):
        digest = hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
        return f"{len(value)} rows given in Python, SHA-256 {digest}", []
    if isinstance(value, list):
        items = [shareable(it, key) for it in value]
        return [clean for clean, _ in items], [it for _, keys in items for it in keys]
    if isinstance(value, str) and (SECRET_VALUE.search(value) or SECRET_KEY.search(key.rpartition(".")[2])):
        return LEFT_OUT, [key]
    return (without_folder(value) if isinstance(value, str) else value), []


def without_folder(text: str) -> str:
    """The last name of what is a path of this machine, from its root, its home or a folder above; else the text."""
    path = Path(text)
    is_ours = text.startswith(("~/", "../")) or (path.is_absolute() and (len(path.parts) > 2 or path.exists()))
    return path.name if is_ours and path.name else text


def require_no_place(folder: Path, places: Iterable[Path]) -> None:
    """ConfigError where a text that would be pushed names one of `places` of this machine."""
    names = {str(place.absolute()) for place in (*places, Path.home(), Path.cwd())}
    named = re.compile("|".join(re.escape(name) + r"(?![\w.-])" for name in sorted(names) if len(Path(name).parts) > 1))
    for file in sorted(folder.iterdir()):
        if file.suffix in (".json", ".md", ".yaml") and file.name not in WORDS:
            found = named.search(file.read_text(encoding="utf-8"))
            if found is not None:
                raise ConfigError(
                    f"{file.name} would tell others of {found[0]} on this machine; nothing is pushed: take "
                    f"that out of the run's recipe.yaml"
                )
