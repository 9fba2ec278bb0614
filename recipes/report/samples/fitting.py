"""Which samples a page of limited size holds: whole files, the steps spread as evenly as they can be."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from doubleback.recipes.report.samples.encode import Packed, pack, packed
from doubleback.recipes.report.samples.files import Origin, SampleFile

FRAME = 200
"""Bytes around each packed text, its name in the header included."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A file that the page holds."""

    source: int
    """The place of its folder among those of the page."""
    file: SampleFile
    packed: Packed
    has_tokens: bool
    """Whether what is known of each token is there too."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """What fits, and what does not."""

    files: tuple[Chosen, ...]
    left_out: tuple[SampleFile, ...]
    """Files of which nothing fits."""


def chosen(
    found: Sequence[tuple[int, SampleFile]], origins: Sequence[Origin], most: int | None, budget: int
) -> Fitting:
    """The files that fit into so many bytes, in the order in which they were found.

    First the texts of as many files as fit, the newest step of each set before its first, then those between; then the
    tokens of as many of them.
    """
    every = [Chosen(source, file, packed(file, file.stamp, origins[source], most), False) for source, file in found]
    every = [each for each in every if each.packed.num_samples]
    left = budget - sum(len(problems_of(origin, _names(every, source))) for source, origin in enumerate(origins))
    kept: dict[int, Chosen] = {}
    order = list(_by_weight(every))
    for place in order:
        size = len(every[place].packed.rows) + len(every[place].packed.texts) + 2 * FRAME
        if size <= left:
            kept[place], left = every[place], left - size
    for place in filter(kept.__contains__, order):
        size = len(every[place].packed.tokens) + FRAME
        if every[place].packed.tokens and size <= left:
            kept[place], left = replace(every[place], has_tokens=True), left - size
    missing = tuple(each.file for place, each in enumerate(every) if place not in kept)
    return Fitting(tuple(kept[place] for place in sorted(kept)), missing)


def problems_of(origin: Origin, names: Sequence[str]) -> str:
    """The problems of these ids as the page holds them."""
    known = [origin.problems.get(name) for name in names]
    columns: list[Mapping[str, object]] = [{} if problem is None else problem.columns for problem in known]
    return pack(
        {
            "id": names,
            "prompt": [None if problem is None else problem.prompt for problem in known],
            "columns": [", ".join(f"{key}: {value}" for key, value in each.items()) for each in columns],
            "mode": [origin.mode(name) for name in names],
        }
    )


def _names(files: Sequence[Chosen], source: int) -> list[str]:
    return list(dict.fromkeys(name for each in files if each.source == source for name in each.packed.problems))


def _by_weight(files: Sequence[Chosen]) -> Iterator[int]:
    """Places of the files, what is missed most first: each set of each folder in turn, its steps coarse to fine."""
    sets: dict[tuple[int, str], list[int]] = {}
    for place, each in enumerate(files):
        sets.setdefault((each.source, each.file.set), []).append(place)
    for turn in zip_longest(*([places[at] for at in coarse_to_fine(len(places))] for places in sets.values())):
        yield from (place for place in turn if place is not None)


def coarse_to_fine(count: int) -> Iterator[int]:
    """0 to count - 1: the last, the first, then the middle of what is between, and so on. 5: 4, 0, 2, 1, 3."""
    yield from dict.fromkeys([count - 1, 0] if count else [])
    gaps = deque([(0, count - 1)])
    while gaps:
        first, last = gaps.popleft()
        if last - first > 1:
            middle = (first + last) // 2
            yield middle
            gaps += [(first, middle), (middle, last)]
