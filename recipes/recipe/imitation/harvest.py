"""Rejection sampling: which of the samples that were judged are worth imitating, and what became of the others.

The rows that stay are what `demonstrations.source` reads (`kind: sft`): a policy then learns from its own best answers
(STaR, arXiv:2203.14465; RAFT, arXiv:2304.06767; DeepSeek-R1's second fine-tuning, arXiv:2501.12948, section 2.3.3).
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from doubleback.rewards.sample_lines import is_correct, is_truncated, num_tokens
from doubleback.rewards.settings import MayChange, Section
from doubleback.rewards.types import UNUSABLE

Line = Mapping[str, Any]
"""A sample line of ours, or a row of `doubleback score`: with problem, completion, verdict."""
NUM_BINS = 4
"""Kinds of difficulty: pass rates up to 1/4, 1/2, 3/4 and 1."""
WHY = ("not judged", "wrong", "cut off", "without the form", "said before", "beyond per_problem", "for balance")
"""What a sample is dropped for, in the order in which that is asked."""


class HarvestOptions(Section):
    """What is kept of samples."""

    per_problem: Annotated[Annotated[int, Field(ge=1)] | None, MayChange()] = None
    """Most samples of a problem. `null`: all."""
    order: Annotated[Literal["random", "shortest"], MayChange()] = "random"
    """Which of a problem's samples come first where it has more: by chance, or the fewest tokens."""
    keeps_form: Annotated[bool, MayChange()] = True
    """Drop what lacks the form: of samples with a part `format`, those where it is below 1."""
    balance: Annotated[bool, MayChange()] = False
    """Keep as many problems of each difficulty, by the share of a problem's judged samples that are right, in quarters;
    those of which most are left are thinned by chance."""
    seed: Annotated[int, Field(ge=0), MayChange()] = 0
    """What chance derives from, with a problem's id and a completion's text alone: in any order the same are kept."""


class HarvestConfig(HarvestOptions):
    """What `kind: sample` keeps of what it samples, `sampling.group_size` completions a problem: kept.jsonl."""

    problems: Annotated[Annotated[int, Field(ge=1)] | None, MayChange(only_up=True)] = None
    """How many of the training problems are sampled, the first. `null`: all."""


@dataclass(frozen=True, slots=True)
class Harvest:
    """What was kept."""

    lines: list[Line]
    """In the order in which they came."""
    dropped: Mapping[str, int]
    """Reason (`WHY`) -> how many samples; what adds up to all of them with those that were kept."""
    num_problems: int
    """How many problems there were samples of."""

    @property
    def reasons(self) -> str:
        """What the others were dropped for, with their numbers."""
        return ", ".join(f"{count:,} {why}" for why, count in self.dropped.items() if count)


def harvest(lines: Sequence[Line], options: HarvestOptions) -> Harvest:
    """The samples that are right, in form, finished and said once, as the options ask.

    For example four samples of a problem, 7 and 9 tokens long and right, 5 long and wrong, 7 long and the first again:
    with per_problem=1 and order=shortest the first is kept, and dropped are 1 wrong, 1 said before, 1 beyond
    per_problem.
    """
    rates = _pass_rates(lines)
    dropped: Counter[str] = Counter(dict.fromkeys(WHY, 0))
    by_problem: dict[str, list[int]] = defaultdict(list)
    said: set[tuple[str, str]] = set()
    for index, line in enumerate(lines):
        text = (line["problem"], " ".join(line["completion"].split()))
        if why := _unfit(line, options) or ("said before" if text in said else None):
            dropped[why] += 1
            continue
        said.add(text)
        by_problem[line["problem"]].append(index)
    kept: dict[str, list[int]] = {}
    for problem, indices in by_problem.items():
        ordered = sorted(indices, key=lambda index: _rank(lines[index], options))
        kept[problem] = ordered[: options.per_problem]
        dropped["beyond per_problem"] += len(ordered) - len(kept[problem])
    if options.balance:
        balanced = _balanced(kept, rates, options.seed)
        dropped["for balance"] = sum(len(kept[problem]) for problem in kept.keys() - balanced)
        kept = {problem: kept[problem] for problem in kept if problem in balanced}
    chosen = sorted(index for indices in kept.values() for index in indices)
    return Harvest([lines[index] for index in chosen], dict(dropped), len({line["problem"] for line in lines}))


def _unfit(line: Line, options: HarvestOptions) -> str | None:
    if line.get("verdict") in UNUSABLE or line.get("verdict") is None:
        return "not judged"
    if not is_correct(line):
        return "wrong"
    if is_truncated(line):
        return "cut off"
    form = (line.get("parts") or {}).get("format")
    return "without the form" if options.keeps_form and form is not None and form < 1 else None


def _pass_rates(lines: Sequence[Line]) -> dict[str, float]:
    judged: dict[str, list[bool]] = defaultdict(list)
    for line in lines:
        if line.get("verdict") is not None and line["verdict"] not in UNUSABLE:
            judged[line["problem"]].append(is_correct(line))
    return {problem: sum(values) / len(values) for problem, values in judged.items()}


def _rank(line: Line, options: HarvestOptions) -> tuple[int, int]:
    tokens = num_tokens(line)
    length = len(line["completion"]) if tokens is None else tokens
    return (length if options.order == "shortest" else 0, _chance(options.seed, line["problem"], line["completion"]))


def _balanced(kept: Mapping[str, Sequence[int]], rates: Mapping[str, float], seed: int) -> set[str]:
    """As many problems of each difficulty as that of which there are fewest; difficulties without any are left out."""
    bins: dict[int, list[str]] = defaultdict(list)
    for problem in kept:
        bins[min(int(rates[problem] * NUM_BINS), NUM_BINS - 1)].append(problem)
    fewest = min(map(len, bins.values()), default=0)
    return {
        problem
        for problems in bins.values()
        for problem in sorted(problems, key=lambda problem: _chance(seed, problem))[:fewest]
    }


def _chance(seed: int, *texts: str) -> int:
    """A number as good as drawn, of the seed and the texts alone."""
    whole = "\0".join([str(seed), *texts])
    return int.from_bytes(hashlib.sha256(whole.encode("utf-8", "backslashreplace")).digest()[:8])


def counted_rows(counted: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, how many) of the counts of a harvest: what was dropped and why, then what was kept."""
    return [
        *((why, f"{count:,}") for why, count in counted["dropped"].items()),
        ("kept", f"{counted['kept']:,}"),
        ("of problems", f"{counted['kept_problems']:,} of {counted['problems']:,}"),
    ]
