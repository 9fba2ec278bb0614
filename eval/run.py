"""Sample and judge the problems of an evaluation, in memory or into a file that a killed run continues.

Both ways go through one call of the engine at a time and one judge, so that training measures what `doubleback eval`
does. Into a file, problems go to the engine in blocks of a fixed size. The samples of a problem are written as soon as
they are judged, and a run that was killed samples what is missing of its block alone: each sample has a seed of its
own, and where an engine's numbers do not depend on what else is in its batch, as those of vLLM on a CPU in float32 do
not, they are the samples of an uninterrupted run to the last bit (docs/faults.md).
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from doubleback.rewards.jsonl import complete_lines, to_lines
from doubleback.rewards.sample_lines import judged_sample
from doubleback.rewards.types import UNUSABLE, Completion, Problem, RunError, Score
from doubleback.rl.engines.engine import Sampler
from doubleback.rl.rollout.scoring import Scorer
from doubleback.rl.run.files import append, write_atomically
from doubleback.rl.run.samples import sample_lines
from doubleback.rl.seeds import sample_seed
from doubleback.rl.types import Group, Sampling

BLOCK_SAMPLES = 1024
"""Completions of a block: several times what an engine samples at once, so that its end costs little."""
Judged = tuple[Problem, Completion, Score]
Observe = Callable[[Sequence[Mapping[str, Any]]], None]
"""Called with the lines of each problem as it is finished."""


@dataclass(frozen=True, slots=True)
class Request:
    """What an evaluation asks of a policy: the same request and the same policy give the same samples."""

    suite: str
    """Seeds derive from it, and not from a step: before and after use the same random numbers, which narrows the
    interval of their difference."""
    problems: Sequence[Problem]
    sampling: Sampling
    seed: int
    """Of the run or the command."""

    def sample(self, engine: Sampler, scorer: Scorer, write: Callable[[Group], None]) -> None:
        """Sample and judge the problems in one call of the engine; `write` gets each scored group as it is judged, in a
        thread of its own. Whether too many could not be judged is for the caller to ask. RunError where the engine drew
        what is banned.
        """
        seeds = [sample_seed(self.seed, f"eval {self.suite}", problem.id) for problem in self.problems]
        with _Judging(scorer, write) as judging:
            engine.sample(self.problems, self.sampling, seeds, on_group=partial(self._take, judging))

    def _take(self, judging: "_Judging", index: int, group: Group) -> None:
        # An engine of somebody else may not know of banned tokens, and would draw them without a word.
        drawn = {token for completion in group.completions for token in completion.token_ids}
        if said := drawn & set(self.sampling.banned_ids):
            raise RunError(
                f"problem {group.problem.id}: the engine drew token {min(said)}, which --ban forbids; an engine of "
                f"one's own must heed Sampling.banned_ids"
            )
        judging.take(index, group)


def generate(engine: Sampler, request: Request, scorer: Scorer) -> list[Group]:
    """The scored groups of all problems, in their order, from one call of the engine.

    RunError where too much of them could not be judged.
    """
    groups: dict[str, Group] = {}
    request.sample(engine, scorer, lambda group: groups.update({group.problem.id: group}))
    ordered = [groups[problem.id] for problem in request.problems]
    scorer.refuse_faults([row for group in ordered for row in _judged(group)])
    return ordered


def generate_into(path: Path, engine: Sampler, request: Request, scorer: Scorer, observe: Observe) -> None:
    """Write the samples of all problems to `path`, `sampling.group_size` lines a problem, those of each as soon as they
    are judged; `in_order` reads them.

    `observe` gets the lines of each problem as it is finished, those of an earlier run first. RunError where too much
    of a block could not be judged; problems of which some sample could not be are written once that is let pass, so
    that the same command judges them again.
    """
    kept = _kept(complete_lines(path), request)
    write_atomically(path, to_lines(line for lines in kept.values() for line in lines))
    for lines in kept.values():
        observe(lines)

    def write(group: Group) -> None:
        lines = sample_lines(group)
        append(path, to_lines(lines))
        observe(lines)

    for block in _blocks_of(request):
        if missing := [problem for problem in block if problem.id not in kept]:
            judged = [(problem, *judged_sample(line)) for problem in block for line in kept.get(problem.id, ())]
            _sample_block(engine, replace(request, problems=missing), scorer, judged, write)


def _sample_block(
    engine: Sampler, request: Request, scorer: Scorer, judged: Sequence[Judged], write: Callable[[Group], None]
) -> None:
    """Sample, judge and write what is missing of a block, of which `judged` is there already."""
    groups: list[Group] = []

    def take(group: Group) -> None:
        groups.append(group)
        if _is_judged(group):
            write(group)

    request.sample(engine, scorer, take)
    scorer.refuse_faults([*judged, *(row for group in groups for row in _judged(group))])
    for group in groups:
        if not _is_judged(group):
            write(group)


def num_kept(path: Path, request: Request) -> int:
    """How many samples `generate_into` will keep of what stands in `path`: those of its finished problems."""
    return sum(map(len, _kept(complete_lines(path), request).values()))


def in_order(path: Path, request: Request) -> list[dict[str, Any]]:
    """The samples that stand in `path`, in the order of the problems, which they have in the file too from now on."""
    found = complete_lines(path)
    lines = [line for of_one in _kept(found, request).values() for line in of_one]
    if lines != found:
        write_atomically(path, to_lines(lines))
    return lines


class _Judging:
    """Judges the groups of a call as they come, in a thread of its own: the engine waits for no worker."""

    def __init__(self, scorer: Scorer, write: Callable[[Group], None]) -> None:
        self._scorer, self._write = scorer, write
        self._thread = ThreadPoolExecutor(1, "judging")
        self._last: Future[None] = Future()
        self._last.set_result(None)

    def __enter__(self) -> "_Judging":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # What is sampled is judged and written, also where the engine was stopped.
        self._thread.shutdown()
        if error is None:
            self._last.result()

    def take(self, index: int, group: Group) -> None:
        """A group that the engine has finished; called while it works on others. Raises what judging others raised."""
        if self._last.done():
            self._last.result()
        wait = self._scorer.start(group.problem, group.completions)
        self._last = self._thread.submit(self._judge, self._last, group, wait)

    def _judge(self, before: Future[None], group: Group, wait: Callable[[], Sequence[Score]]) -> None:
        before.result()  # nothing is written behind what could not be
        self._write(replace(group, scores=tuple(wait())))


def _is_judged(group: Group) -> bool:
    return not any(score.verdict in UNUSABLE for score in group.scores)


def _judged(group: Group) -> list[Judged]:
    return [(group.problem, row.completion, row.score) for row in group.rows()]


def _blocks_of(request: Request) -> list[Sequence[Problem]]:
    size = max(1, BLOCK_SAMPLES // request.sampling.group_size)
    return [request.problems[start : start + size] for start in range(0, len(request.problems), size)]


def _kept(lines: Sequence[dict[str, Any]], request: Request) -> dict[str, list[dict[str, Any]]]:
    """The lines of each problem whose samples are all among these, in the order of the problems."""
    found: dict[str, list[dict[str, Any]]] = {problem.id: [] for problem in request.problems}
    for line in lines:
        found.get(line["problem"], []).append(line)
    return {name: of_one for name, of_one in found.items() if len(of_one) == request.sampling.group_size}
