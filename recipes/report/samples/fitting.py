"""Which samples a page of limited size holds: whole files, the steps spread as evenly as they can be."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from doubleback.recipes.report.samples.encode import Packed, pack, packed
from doubleback.recipes.report.samples.files import Origin, SampleFile

FRAME = 200
"""Bytes around each packed text, its name in the header included."""
MOST_MISSES = 8
"""Files in a row that do not fit, after which none is read any more: a page holds a few steps of a long run, and the
others are gigabytes."""


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
    tokens of as many of them. Once nothing more fits no file is read.
    """
    kept: dict[int, Chosen] = {}
    missing = set[int]()
    left, num_misses = budget, 0
    order = list(_by_weight(found))
    for place in order:
        source, file = found[place]
        if num_misses == MOST_MISSES:
            missing.add(place)
            continue
        each = Chosen(source, file, packed(file, file.stamp, origins[source], most), False)
        if not each.packed.num_samples:
            continue
        known = _names(kept.values(), source)
        fresh = [name for name in each.packed.problems if name not in known]
        size = _size(each) + (len(problems_of(origins[source], fresh)) if fresh else 0)
        if size <= left:
            kept[place], left, num_misses = each, left - size, 0
        else:
            missing.add(place)
            num_misses += 1
    while (left := _left(kept, origins, budget)) < 0 and kept:  # packed together they were larger than one by one
        missing.add(kept.popitem()[0])
    for place in filter(kept.__contains__, order):
        size = len(kept[place].packed.tokens) + FRAME
        if kept[place].packed.tokens and size <= left:
            kept[place], left = replace(kept[place], has_tokens=True), left - size
    return Fitting(tuple(kept[place] for place in sorted(kept)), tuple(found[place][1] for place in sorted(missing)))


def _size(each: Chosen) -> int:
    """Bytes of a file's samples, without their tokens and their problems."""
    return len(each.packed.rows) + len(each.packed.texts) + 2 * FRAME


def _left(kept: Mapping[int, Chosen], origins: Sequence[Origin], budget: int) -> int:
    """What these files and their problems leave of the budget."""
    files = [kept[place] for place in sorted(kept)]
    problems = sum(len(problems_of(origin, list(_names(files, source)))) for source, origin in enumerate(origins))
    return budget - problems - sum(map(_size, files))


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


def _names(files: Iterable[Chosen], source: int) -> dict[str, None]:
    """The problems of a folder's files, in the order in which they come."""
    return dict.fromkeys(name for each in files if each.source == source for name in each.packed.problems)


def _by_weight(found: Sequence[tuple[int, SampleFile]]) -> Iterator[int]:
    """Places of the files, what is missed most first: each set of each folder in turn, its steps coarse to fine."""
    sets: dict[tuple[int, str], list[int]] = {}
    for place, (source, file) in enumerate(found):
        sets.setdefault((source, file.set), []).append(place)
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
