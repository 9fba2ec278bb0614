"""Several strands in one run, modes of one task or other tasks: each with problems, reward and length of its own.

A strand's problems carry its name before their ids, `off/countdown3:12`: seeds, samples and files keep them apart by
that, and here it says who draws, who scores and how long a completion may be.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from doubleback.rewards.types import UNUSABLE, Completion, Problem, Score, Verdict
from doubleback.rl.engines.engine import Engine, OnGroup
from doubleback.rl.policy.lora import Adapter
from doubleback.rl.rollout.problems import ProblemSource
from doubleback.rl.rollout.scoring import Scorer
from doubleback.rl.rollout.strand import strand_of
from doubleback.rl.types import Group, Sampling, TokenSequence


class MixedSource:
    """Draws a step's problems from several sources by weight; each keeps its own order, filter and curriculum.

    Smooth weighted round robin: before each draw a strand's credit grows by its share of the weights, the highest draws
    and pays 1. So after n draws each strand has had its share of n to within one, and none is left to chance. A strand
    without an open problem is passed over for the rest of the call, and earns nothing meanwhile.
    """

    def __init__(self, sources: Mapping[str, ProblemSource], weights: Mapping[str, float]) -> None:
        self._sources, self._weights = dict(sources), dict(weights)
        self._credits = dict.fromkeys(sources, 0.0)
        self._seen: Mapping[str, float] = {}

    def take(self, count: int, excluded: frozenset[str] = frozenset()) -> list[Problem]:
        """The next problems that are open. Those `excluded` (ids) are passed over; fewer where no others are open."""
        taken: list[Problem] = []
        names = list(self._sources)
        while len(taken) < count and names:
            name = self._next(names)
            passed_over = excluded | {problem.id for problem in taken} if excluded else excluded
            if found := self._sources[name].take(1, passed_over):
                taken += found
            else:
                names.remove(name)
        return taken

    def observe(self, groups: Sequence[Group]) -> None:
        """Learn from a step's groups, each source from its own."""
        self._seen = {}
        for name, source in self._sources.items():
            own = [group for group in groups if strand_of(group.problem.id) == name]
            source.observe(own)
            self._seen |= {f"strand/{name}/{key}": value for key, value in strand_metrics(own).items()}

    def metrics(self) -> dict[str, float]:
        """Group strand/: the last step's groups, and where each source's filter and curriculum stand."""
        inner = {
            f"strand/{name}/{key.removeprefix('problems/')}": value
            for name, source in self._sources.items()
            for key, value in source.metrics().items()
        }
        return {**self._seen, **inner}

    def state(self) -> dict[str, Any]:
        """What exact resume needs, as JSON values."""
        sources = {name: source.state() for name, source in self._sources.items()}
        return {"credits": dict(self._credits), "sources": sources}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state()`."""
        self._credits = dict(state["credits"])
        for name, source in self._sources.items():
            source.restore(state["sources"][name])

    def _next(self, names: Sequence[str]) -> str:
        total = math.fsum(self._weights[name] for name in names)
        for name in names:
            self._credits[name] += self._weights[name] / total
        chosen = max(names, key=lambda name: self._credits[name])
        self._credits[chosen] -= 1.0
        return chosen


def strand_metrics(groups: Sequence[Group]) -> dict[str, float]:
    """What a step's groups of one strand say; NaN where there are none, of values those that could be judged."""
    rows = [row for group in groups for row in group.rows()]
    scores = [row.score for row in rows]
    judged = [score for score in scores if score.verdict not in UNUSABLE]
    names = sorted({name for score in scores for name in score.parts})
    return {
        "reward": _mean([score.value for score in scores if score.value is not None]),
        "correct": _mean([score.verdict == Verdict.CORRECT for score in judged]),
        "mean_tokens": _mean([len(row.completion.token_ids) for row in rows]),
        "cut_off": _mean([row.completion.is_truncated for row in rows]),
        **{f"part/{name}": _mean([it.parts[name] for it in scores if name in it.parts]) for name in names},
    }


class MixedScorer:
    """Scores each problem by the reward of its strand."""

    def __init__(self, scorers: Mapping[str, Scorer]) -> None:
        self._scorers = dict(scorers)

    def start(self, problem: Problem, completions: Sequence[Completion]) -> Callable[[], Sequence[Score]]:
        """Begin to score, without waiting; the returned function waits, and gives one score per completion."""
        return self._scorers[strand_of(problem.id)].start(problem, completions)

    def refuse_faults(self, judged: Sequence[tuple[Problem, Completion, Score]]) -> None:
        """RunError where too many of a strand could not be judged, by its own limit."""
        for name, scorer in self._scorers.items():
            if own := [row for row in judged if strand_of(row[0].id) == name]:
                scorer.refuse_faults(own)


class StrandEngine:
    """An engine that ends the completions of a strand at the strand's own length, where that comes earlier.

    It asks the engine inside once for each length: nothing that is sampled depends on what stands beside it.
    """

    def __init__(self, engine: Engine, longest: Mapping[str, int]) -> None:
        self._engine, self._longest = engine, dict(longest)

    @property
    def inside(self) -> Engine:
        """See `rl.engines.engine.Wrapper`."""
        return self._engine

    def sample(
        self,
        problems: Sequence[Problem],
        sampling: Sampling,
        seeds: Sequence[int],
        on_group: OnGroup | None = None,
    ) -> list[Group]:
        """As the engine's own; problems of no strand are sampled as `sampling` says."""
        lengths = [
            min(sampling.max_tokens, self._longest.get(strand_of(problem.id), sampling.max_tokens))
            for problem in problems
        ]
        groups: dict[int, Group] = {}
        for max_tokens in dict.fromkeys(lengths):
            rows = [row for row, length in enumerate(lengths) if length == max_tokens]
            own_problems, own_seeds = [problems[row] for row in rows], [seeds[row] for row in rows]
            own_sampling = replace(sampling, max_tokens=max_tokens)
            sampled = self._engine.sample(own_problems, own_sampling, own_seeds, _numbered(on_group, rows))
            groups |= dict(zip(rows, sampled, strict=True))
        return [groups[row] for row in range(len(problems))]

    def load_adapter(self, adapter: Adapter, version: int) -> None:
        """As the engine's own."""
        self._engine.load_adapter(adapter, version)

    def score(self, sequences: Sequence[TokenSequence]) -> list[tuple[float, ...]]:
        """As the engine's own."""
        return self._engine.score(sequences)

    def close(self) -> None:
        """As the engine's own."""
        self._engine.close()


def _numbered(on_group: OnGroup | None, rows: Sequence[int]) -> OnGroup | None:
    """`on_group` for a call with these rows of a larger one."""
    return None if on_group is None else lambda index, group: on_group(rows[index], group)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
