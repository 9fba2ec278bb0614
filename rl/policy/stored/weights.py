"""Files of weights: safetensors, and what is said where there are others in their place."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from doubleback.rewards.types import ConfigError

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
"""Ends of names of files that may run code when they are opened."""


def tensor_names(path: Path, named: str) -> list[str]:
    """The names of the tensors in a safetensors file. ConfigError, about `named`, where it is none."""
    try:
        with safe_open(path, "pt") as stored:
            return list(stored.keys())
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{named}: {path.name} is no safetensors file: {error}") from error


def instead(folder: Path) -> str:
    """The end of a line about weights that a folder has not: the pickled ones that it has."""
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED)
    if not pickled:
        return ""
    return (
        f", but {pickled[0]}: pickled weights may run code and are not read; convert them where you trust them "
        "(save_pretrained writes safetensors)"
    )
