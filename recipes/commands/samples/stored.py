"""Which completions `doubleback score` grades: the files of a path, and their rows."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from doubleback.eval.compare import SAMPLES
from doubleback.eval.lm_harness import is_lm_harness, rows_from_lm_harness
from doubleback.eval.show.console import Console
from doubleback.rewards.checks.regrade import Stored, problems_of, stored_completions
from doubleback.rewards.jsonl import Row, left_out, refuse
from doubleback.rewards.rows import Source, is_missing, is_on_hub, read_data, saved, stem
from doubleback.rewards.sample_lines import ROLLOUTS
from doubleback.rewards.types import ConfigError
from doubleback.rl.run.names import SAMPLES_END

SCORED = "scored"
"""Folder of a run for what was graded again."""


def what_to_score(path: Path) -> tuple[list[Path], Path]:
    """The files of samples that a path stands for, and where their scores go: a run's folder `scored`, or beside; of
    a hub id here.
    """
    if (path / SAMPLES).exists():
        path = path / SAMPLES
    if is_on_hub(str(path)):
        return [path], Path(f"{stem(path)}.scored.jsonl")
    if not path.exists() and not saved(path):
        raise is_missing(path)
    if not path.is_dir() or saved(path):
        folder, _ = problems_of(path)
        beside = path.with_name(f"{stem(path)}.scored.jsonl")
        return [path], beside if folder == path.parent else folder / SCORED / f"{stem(path)}.jsonl"
    if not (rollouts := sorted((path / ROLLOUTS).glob(f"step-*{SAMPLES_END}"))):
        raise ConfigError(f"{path} holds neither a run's {ROLLOUTS}/step-*{SAMPLES_END} nor an evaluation's {SAMPLES}")
    return rollouts, path / SCORED / f"{ROLLOUTS}.jsonl"


@dataclass(frozen=True, slots=True)
class Read:
    """What there is to grade."""

    stored: list[Stored]
    sha256: str
    """Of the bytes of all files."""


def read_stored(files: Sequence[Path], skip_bad: bool, needs_answer: bool, console: Console, reward: str = "") -> Read:
    """The completions of the files. ConfigError for bad rows, or with `skip_bad` a line about them."""
    stored, digests = [], []
    for file in files:
        data = read_data(Source(str(file)))
        is_foreign = bool(data.rows) and is_lm_harness(data.rows[0].data)
        rows = rows_from_lm_harness(data.rows, str(file)) if is_foreign else data.rows
        found, findings = stored_completions(file, rows, needs_answer, reward)
        bad = sorted([*data.bad, *findings], key=lambda line: int(line.removeprefix(f"{file}:").partition(":")[0]))
        if bad and not skip_bad:
            refuse(bad, " (--skip-bad leaves such rows out)")
        if bad:
            console.print(left_out(bad), soft_wrap=True)
        stored += found
        digests.append(data.sha256)
    if not stored:
        raise ConfigError(f"{', '.join(map(str, files))}: every row is bad")
    whole = digests[0] if len(files) == 1 else hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return Read(_numbered(stored), whole)


def _numbered(stored: Sequence[Stored]) -> list[Stored]:
    """Rows of one file by their lines in it; those of several by their lines in what is written."""
    if len({item.row.number for item in stored}) == len(stored):
        return list(stored)
    return [replace(item, row=Row(number, item.row.data)) for number, item in enumerate(stored, start=1)]
