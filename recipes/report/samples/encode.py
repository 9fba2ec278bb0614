"""The samples of one file as the page holds them: figures by column, texts and tokens apart, each packed by itself.

What is packed is JSON, gzipped, in base64. Places in a text count UTF-16 units, as JavaScript does.
"""

import base64
import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from typing import Any

from doubleback.eval.measures.moves import Moves
from doubleback.recipes.report.samples.files import Origin, SampleFile
from doubleback.recipes.report.samples.found import find_answer
from doubleback.recipes.report.samples.tokens import recorded_signals, signal_of, token_lengths
from doubleback.recipes.report.stored import StoredLines
from doubleback.rewards.sample_lines import Line, is_truncated, num_tokens

MOST_CHARACTERS = 50_000
"""Of a completion, half from its beginning and half from its end: the answer stands there."""


@dataclass(frozen=True, slots=True)
class Packed:
    """One file."""

    problems: tuple[str, ...]
    """Ids of the problems in it."""
    num_samples: int
    num_left_out: int
    """Samples of the file that are not in here."""
    num_cut: int
    """Completions whose middle is left out."""
    signals: tuple[str, ...]
    """What is known of each token."""
    rows: str
    texts: str
    tokens: str
    """Nothing where nothing is known of them, or which text a token stands for."""


def pack(value: Any) -> str:
    """A value as the page holds it."""
    text = json.dumps(value, separators=(",", ":"), default=str)  # ASCII: a lone surrogate stays an escape
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


@lru_cache(maxsize=256)  # more than a page holds, of steps that are large
def packed(file: SampleFile, stamp: tuple[int, int], origin: Origin, most: int | None) -> Packed:
    """A file, with whole groups of samples up to `most`, evenly spread; read once while its `stamp` is the same."""
    stored = StoredLines(file.path)
    kept = [stored.line(place) for place in _some_groups(stored.values("problem"), most)]
    texts = [Text(str(line["completion"])) for line in kept]
    tokens = _tokens(kept, texts, origin)
    return Packed(
        problems=tuple(dict.fromkeys(str(line["problem"]) for line in kept)),
        num_samples=len(kept),
        num_left_out=len(stored) - len(kept),
        num_cut=sum(text.is_cut for text in texts),
        signals=tuple(tokens["signals"]) if tokens else (),
        rows=pack(_rows(kept)),
        texts=pack(_texts(kept, texts, origin)),
        tokens=pack(tokens) if tokens else "",
    )


def _some_groups(problems: Sequence[Any], most: int | None) -> Sequence[int]:
    """Places of whole groups, by the problem of each sample."""
    if most is None or len(problems) <= most:
        return range(len(problems))
    names = list(dict.fromkeys(problems))
    num_kept = max(1, most * len(names) // len(problems))
    kept = {names[position * len(names) // num_kept] for position in range(num_kept)}
    return [place for place, name in enumerate(problems) if name in kept]


class Text:
    """A completion as it is shown, and how places in it are counted."""

    def __init__(self, whole: str) -> None:
        self.is_cut = len(whole) > MOST_CHARACTERS
        half = MOST_CHARACTERS // 2
        note = f"\n[... {len(whole) - 2 * half:,} characters are left out ...]\n"
        self.shown = whole[:half] + note + whole[-half:] if self.is_cut else whole
        self._is_plain = self.shown.isascii() or max(self.shown) < "\U00010000"

    @cached_property
    def _units(self) -> list[int]:
        return [0, *accumulate(1 + (character > "\uffff") for character in self.shown)]

    def place(self, characters: int) -> int:
        """So many characters, in UTF-16 units."""
        return characters if self._is_plain or characters < 0 else self._units[characters]


def _rows(lines: Sequence[Line]) -> dict[str, Any]:
    parts = dict.fromkeys(name for line in lines for name in line.get("parts") or {})
    return {
        "problem": _coded(str(line["problem"]) for line in lines),
        "verdict": _coded(str(line["verdict"]) for line in lines),
        "sample": [line.get("sample") for line in lines],
        "reward": [_figure(line.get("score")) for line in lines],
        "advantage": [_figure(line.get("advantage")) for line in lines],
        "length": [num_tokens(line) for line in lines],
        "gap": [_figure(line.get("gap")) for line in lines],
        "cut": [is_truncated(line) for line in lines],
        "parts": {
            part: [[_figure((line.get(key) or {}).get(part)) for key in ("parts", "weighted")] for line in lines]
            for part in parts
        },
    }


def _coded(names: Iterable[str]) -> dict[str, Any]:
    """The names that there are, and for each line the place of its own among them."""
    places: dict[str, int] = {}
    return {"of": [places.setdefault(name, len(places)) for name in names], "names": list(places)}


def _figure(value: float | None) -> float | None:
    """Six digits; None for what was not measured, NaN included, which JSON has no form for."""
    return float(f"{value:.6g}") if value is not None and abs(value) < float("inf") else None


def _texts(lines: Sequence[Line], texts: Sequence[Text], origin: Origin) -> dict[str, Any]:
    answers = [
        find_answer(text.shown, line.get("extracted"), origin.style) for line, text in zip(lines, texts, strict=True)
    ]
    return {
        "completion": [text.shown for text in texts],
        "extracted": [line.get("extracted") for line in lines],
        "mark": [[text.place(at.start), text.place(at.end)] for at, text in zip(answers, texts, strict=True)],
        "rule": _coded(at.rule for at in answers),
        "detail": [line.get("detail") or "" for line in lines],
        "made": _coded(map(_made, lines)),
        "seed": [str(line.get("seed", "")) for line in lines],
        "moves": _moves(lines, texts, origin),
    }


def _made(line: Line) -> str:
    """How it ended, and which policy sampled it."""
    ended = {"stop": "ended by itself", "length": "cut off at the token limit"}.get(str(line.get("finish_reason")), "")
    version = f"policy of step {line['policy_version']}" if line.get("policy_version") is not None else ""
    adapter = f"adapter {str(line['adapter_hash'])[:12]}" if line.get("adapter_hash") else ""
    return ", ".join(filter(None, (ended, version, adapter)))


def _moves(lines: Sequence[Line], texts: Sequence[Text], origin: Origin) -> list[list[list[Any]]]:
    """Of each completion the moves of its search; none where its problem has no replay, or its middle is left out."""
    replays: dict[str, Moves | None] = {}
    return [
        [] if text.is_cut else _moves_of(str(line["problem"]), text, origin, replays)
        for line, text in zip(lines, texts, strict=True)
    ]


def _moves_of(name: str, text: Text, origin: Origin, replays: dict[str, Moves | None]) -> list[list[Any]]:
    columns: Mapping[str, Any] = origin.problems[name].columns if name in origin.problems else {}
    if (
        name not in replays
    ):  # samples of a problem follow each other, and a look at its columns costs more than a replay
        replays[name] = next((moves for moves in origin.moves if moves.fits(columns)), None)
    replay = replays[name]
    return (
        []
        if replay is None
        else [
            [text.place(m.start), text.place(m.end), m.depth, m.leaves, m.fault, m.check, m.is_check_true]
            for m in replay.of(columns, text.shown)
        ]
    )


def _tokens(lines: Sequence[Line], texts: Sequence[Text], origin: Origin) -> dict[str, Any] | None:
    """How many units of the text each token stands for, and what is known of it; None where nothing is."""
    signals = recorded_signals(lines)
    if origin.tokenizer is None or not signals:
        return None
    lengths = [
        [] if text.is_cut else token_lengths(origin.tokenizer, line.get("token_ids") or (), text.shown)
        for line, text in zip(lines, texts, strict=True)
    ]
    if not any(lengths):
        return None
    return {
        "lengths": [_in_units(of, text) for of, text in zip(lengths, texts, strict=True)],
        "signals": {name: [signal_of(name, line) for line in lines] for name in signals},
    }


def _in_units(lengths: Sequence[int], text: Text) -> list[int]:
    return [text.place(end) - text.place(start) for start, end in pairwise([0, *accumulate(lengths)])]
