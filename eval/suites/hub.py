"""Rows of a dataset on the Hugging Face hub."""

from collections.abc import Iterator, Mapping
from typing import Any

from doubleback.rewards.jsonl import Row
from doubleback.rewards.types import ConfigError, first_line


def hub_rows(source: str, config: str | None, split: str, revision: str | None, what: str, way_out: str) -> list[Row]:
    """The rows in their order. ConfigError says who (`what`) wanted them and what to do instead (`way_out`)."""
    from datasets import load_dataset  # 1 s that a run from a file does not spend

    try:
        rows: Iterator[Mapping[str, Any]] = load_dataset(source, config, split=split, revision=revision, streaming=True)
        return [Row(number, dict(row)) for number, row in enumerate(rows, start=1)]
    except (OSError, ValueError, RuntimeError) as error:
        reason = first_line(error)
        raise ConfigError(f"{what} reads {source} from the hub, which failed ({reason}); {way_out}") from error
