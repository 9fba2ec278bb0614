"""The rows of a data set as people have it: one reader for task.train and task.test, suites, `--data` and `score`.

train.jsonl  train.jsonl.gz        JSON, a line each; a bad line is named by its number
train.json                         the same, or one array
train.parquet  train.csv  .tsv     as pyarrow reads them
FOLDER  FOLDER:SPLIT               of `save_to_disk`
OWNER/NAME  OWNER/NAME:CONFIG:SPLIT   on the Hugging Face hub; OWNER/NAME@REVISION for a branch, tag or commit
"""

import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doubleback.rewards.jsonl import GZIPPED, Row, checked_rows, content, json_value, line_values
from doubleback.rewards.regular import file_bytes
from doubleback.rewards.types import ConfigError, first_line

COLUMNS = (".parquet", ".csv", ".tsv", ".csv.gz", ".tsv.gz")
LINES = (".jsonl", ".jsonl.gz", ".json", ".json.gz")
SAVED = ("dataset_info.json", "dataset_dict.json")
"""What a folder of `save_to_disk` holds: of one data set, of several splits."""
OF_FILES = (*LINES, *COLUMNS, GZIPPED, ".txt", ".yaml", ".yml", ".zip", ".arrow", ".xlsx", ".py")
"""Endings that no hub id is thought to have."""
HUB = re.compile(r"\w[\w.-]*/\w[\w.-]*(@[\w./-]+)?(:[^:]+){0,2}")
HUB_SECONDS = 10
"""How long the hub has to answer at all."""
EXAMPLE = "openai/gsm8k:main:train"


@dataclass(frozen=True, slots=True)
class Source:
    """What was asked for, and what is said where it fails."""

    name: str
    """A path, a folder of `save_to_disk` (its split behind it), or a hub id (revision, configuration, split behind)."""
    split: str = "train"
    """The split of a folder or of the hub where the name has none."""
    config: str | None = None
    """Hub: the configuration where the name has none."""
    revision: str | None = None
    """Hub: branch, tag or commit where the name has none."""
    way_out: str = "give a file"
    """What to do where the hub cannot be read."""
    fields: frozenset[str] | None = None
    """What is kept of each row: these of its fields. None: all."""


@dataclass(frozen=True, slots=True)
class Data:
    """What was read."""

    rows: list[Row]
    bad: list[str]
    """A line for each row that is bad: no JSON object, or without a required key."""
    sha256: str
    """Of the file's bytes; of the rows, as they are kept, in canonical JSON where there is no file."""


def read_data(source: Source, required: Sequence[Sequence[str]] = ()) -> Data:
    """The rows of a source. `required`: of each group of keys (`field`), a row must have one.

    ConfigError where the source cannot be read, or has no rows.
    """
    if source.name.startswith("hub:"):
        raise ConfigError(f"{source.name}: write it without hub:, as {EXAMPLE}")
    path = Path(source.name)
    is_saved = saved(path) is not None
    if is_saved or is_on_hub(source.name):
        values = _saved_values(source) if is_saved else _hub_values(source)
        # Row by row: some data sets hold gigabytes of text that nobody asked for.
        rows, bad = checked_rows(enumerate(values, start=1), source.name, required, source.fields)
        lines = (json.dumps(row.data, sort_keys=True, ensure_ascii=False, default=str) for row in rows)
        digest = hashlib.sha256("\n".join(lines).encode("utf-8", "backslashreplace")).hexdigest()
    else:
        whole = _bytes(path)
        numbered = _file_values(path, whole)
        digest = hashlib.sha256(whole).hexdigest()
        rows, bad = checked_rows(numbered, source.name, required, source.fields)
    if not rows and not bad:
        raise ConfigError(f"{source.name} has no rows")
    return Data(rows, bad, digest)


def is_on_hub(name: str) -> bool:
    """Whether a name is a hub id: OWNER/NAME without a file's ending, where nothing of that name is here.

    A folder OWNER that is here takes a name without configuration and split for a file that is missing in it.
    """
    path = Path(name)
    is_here = path.exists() or saved(path) is not None or (":" not in name and path.parent.is_dir())
    return not is_here and _may_be_on_hub(name)


def is_missing(path: Path) -> ConfigError:
    """What is said of a path where nothing is."""
    hint = f"; a data set of the hub is written {path}:CONFIG:SPLIT" if _may_be_on_hub(str(path)) else ""
    return ConfigError(f"{path}: there is no such file or folder{hint}")


def _may_be_on_hub(name: str) -> bool:
    return HUB.fullmatch(name) is not None and not name.lower().endswith(OF_FILES)


def stem(path: Path) -> str:
    """The name of a file without what says its form; of a hub id without its owner."""
    name = path.resolve().name.replace(":", "-")
    ending = next((ending for ending in sorted((*LINES, *COLUMNS), key=len)[::-1] if name.endswith(ending)), GZIPPED)
    return name.removesuffix(ending)


def saved(path: Path) -> tuple[Path, str | None] | None:
    """The folder of `save_to_disk` that a path is, and the split behind it; None where it is none."""
    folder, _, split = str(path).rpartition(":")
    for found, part in ((path, None), (Path(folder), split)):
        if any((found / name).is_file() for name in SAVED):
            return found, part
    return None


def _bytes(path: Path) -> bytes:
    if path.is_dir():
        raise ConfigError(f"{path} is a folder, but not one of save_to_disk; give a file, or that folder")
    try:
        return file_bytes(path)
    except FileNotFoundError:
        raise is_missing(path) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error


def _file_values(path: Path, whole: bytes) -> Iterable[tuple[int, Any]]:
    """(number, row) of a file by its ending; anything unknown is JSON lines."""
    ending = path.name.removesuffix(GZIPPED).rpartition(".")[2].lower()
    if ending in ("csv", "tsv"):
        return enumerate(_or_config_error(path, lambda: _csv_values(whole, path, "\t" if ending == "tsv" else ",")), 1)
    if ending == "parquet":
        return enumerate(_or_config_error(path, lambda: _parquet_values(path)), 1)
    text = content(path)
    if ending == "json" and text.lstrip().startswith(b"["):
        try:
            found = json_value(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path} is no JSON array ({error})") from error
        return enumerate(found, start=1)
    return line_values(text)


def _csv_values(whole: bytes, path: Path, delimiter: str) -> list[Any]:
    import pyarrow.csv

    text = gzip.decompress(whole) if path.suffix == GZIPPED else whole
    text.decode()  # of what is no UTF-8 pyarrow would make a column of bytes
    table = pyarrow.csv.read_csv(
        pyarrow.BufferReader(text),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
    )
    return _table_values(table)


def _parquet_values(path: Path) -> list[Any]:
    import pyarrow.parquet

    return _table_values(pyarrow.parquet.read_table(path))


def _table_values(table: Any) -> list[Any]:
    """The rows of an Arrow table; a ValueError where two columns share a name, of which a row would keep the last."""
    names: list[str] = table.column_names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two columns are called {', '.join(map(repr, twice))}; rename one")
    found: list[Any] = table.to_pylist()
    return found


def _saved_values(source: Source) -> Iterator[Any]:
    from datasets import DatasetDict, load_from_disk

    folder, split = saved(Path(source.name)) or (Path(source.name), None)
    found = _or_config_error(folder, lambda: load_from_disk(str(folder)))
    if isinstance(found, DatasetDict):
        wanted = split or source.split
        if wanted not in found:
            raise ConfigError(f"{source.name} has no split {wanted!r} but {', '.join(found)}; write it as FOLDER:SPLIT")
        found = found[wanted]
    elif split is not None:
        raise ConfigError(f"{source.name}: that folder has no splits; give {folder}")
    return (dict(row) for row in found)


def _hub_values(source: Source) -> Iterator[Any]:
    from datasets import load_dataset  # 1 s that a run from a file does not spend
    from huggingface_hub.utils import httpx  # the client that it uses

    given, *parts = source.name.split(":")
    name, _, commit = given.partition("@")
    revision = commit or source.revision
    config = parts[0] if parts else source.config
    split = parts[1] if len(parts) > 1 else source.split
    try:
        _ask_hub(name, revision)
        rows: Iterable[Mapping[str, Any]] = load_dataset(name, config, split=split, revision=revision, streaming=True)
        for row in rows:
            yield dict(row)
    except (httpx.HTTPError, OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300] if "onfig name is missing" in str(error) else first_line(error)
        raise ConfigError(
            f"{source.name} is no file or folder here, and on the hub it failed ({reason}); {source.way_out}, or write "
            f"OWNER/NAME:CONFIG:SPLIT, as {EXAMPLE}"
        ) from error


def _ask_hub(name: str, revision: str | None) -> None:
    """Nothing where the hub has the data set; without this first try `datasets` asks a hub that is away for 24 s."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import OfflineModeIsEnabled

    with suppress(OfflineModeIsEnabled):  # what was loaded before may be there
        HfApi().dataset_info(name, revision=revision, timeout=HUB_SECONDS)


def _or_config_error(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (OSError, EOFError, ValueError, RuntimeError) as error:  # ArrowInvalid is a ValueError
        raise ConfigError(f"{path} cannot be read: {first_line(error)}") from error
