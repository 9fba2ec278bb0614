"""Sample and judge the problems of an evaluation, in memory or into a file that a killed run continues.

Both ways go through one call of the engine at a time and one judge, so that training measures what `doubleback eval`
does. Into a file, problems go to the engine in blocks of a fixed size, and a block is a pure function of its problems,
seeds and adapter (`rl.engines.engine.Sampler.sample`). A run that was killed drops the block it was in and samples it
again, so that the batches inside the engine, and with them every rounding, are those of an uninterrupted run.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from doubleback.rewards.jsonl import complete_lines, to_lines
from doubleback.rewards.types import Completion, Problem, Score
from doubleback.rl.engines.engine import Sampler
from doubleback.rl.rollout.scoring import Scorer
from doubleback.rl.run.files import append, write_atomically
from doubleback.rl.run.samples import sample_lines
from doubleback.rl.seeds import sample_seed
from doubleback.rl.types import Group, Sampling

BLOCK_SAMPLES = 1024
"""Completions of a block: several times what an engine samples at once, so that its end costs little."""
LAG = 8
"""Groups whose judgement may still be on its way while the engine goes on."""
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

    def sample(self, engine: Sampler, block: Sequence[Problem], scorer: Scorer, write: Callable[[Group], None]) -> None:
        """Sample and judge these problems in one call of the engine; `write` gets the scored groups in their order.

        RunError where too much of them could not be judged.
        """
        seeds = [sample_seed(self.seed, f"eval {self.suite}", problem.id) for problem in block]
        judging = _InOrder(len(block), scorer, write)
        engine.sample(block, self.sampling, seeds, on_group=judging.take)
        judging.finish()


def generate(engine: Sampler, request: Request, scorer: Scorer) -> list[Group]:
    """The scored groups of all problems, in their order, from one call of the engine."""
    groups: list[Group] = []
    request.sample(engine, request.problems, scorer, groups.append)
    return groups


def generate_into(path: Path, engine: Sampler, request: Request, scorer: Scorer, observe: Observe) -> None:
    """Append the samples of all problems to `path`, `sampling.group_size` lines a problem, in their order.

    `observe` gets the lines of each problem as it is finished, those of an earlier run first.
    """
    n = request.sampling.group_size
    blocks = _blocks_of(request)
    done = _keep_finished_blocks(path, blocks, n, observe)
    for block in blocks[done:]:
        # The whole block at once, and only where its faults are let pass: the same command would not look at it again.
        finished: list[dict[str, Any]] = []

        def write(group: Group, finished: list[dict[str, Any]] = finished) -> None:
            lines = sample_lines(group)
            finished += lines
            observe(lines)

        request.sample(engine, block, scorer, write)
        append(path, to_lines(finished))


def num_kept(path: Path, request: Request) -> int:
    """How many samples `generate_into` will keep of what stands in `path`: those of its finished blocks."""
    return sum(_finished(len(complete_lines(path)), _blocks_of(request), request.sampling.group_size))


class _InOrder:
    """Judges the groups of a call as they come, and passes them on in the order of their problems."""

    def __init__(self, num_problems: int, scorer: Scorer, write: Callable[[Group], None]) -> None:
        self._waiting, self._scorer, self._write_group = deque(range(num_problems)), scorer, write
        self._started: dict[int, tuple[Group, Callable[[], Sequence[Score]]]] = {}
        self._judged: list[tuple[Problem, Completion, Score]] = []

    def take(self, index: int, group: Group) -> None:
        """A group that the engine has finished; called while it works on others."""
        self._started[index] = group, self._scorer.start(group.problem, group.completions)
        # Some way behind, so that the engine need not wait for a worker that is still judging.
        while len(self._started) > LAG and self._waiting[0] in self._started:
            self._write()

    def finish(self) -> None:
        """Pass on what is left. RunError where too much could not be judged."""
        while self._waiting:
            self._write()
        self._scorer.refuse_faults(self._judged)

    def _write(self) -> None:
        group, wait = self._started.pop(self._waiting.popleft())
        scored = replace(group, scores=tuple(wait()))
        self._judged += [(group.problem, row.completion, row.score) for row in scored.rows()]
        self._write_group(scored)


def _blocks_of(request: Request) -> list[Sequence[Problem]]:
    size = max(1, BLOCK_SAMPLES // request.sampling.group_size)
    return [request.problems[start : start + size] for start in range(0, len(request.problems), size)]


def _finished(num_lines: int, blocks: Sequence[Sequence[Problem]], n: int) -> list[int]:
    """The samples of each block that stands whole in so many lines."""
    sizes, kept = [len(block) * n for block in blocks], 0
    for done, size in enumerate(sizes):
        if kept + size > num_lines:
            return sizes[:done]
        kept += size
    return sizes


def _keep_finished_blocks(path: Path, blocks: Sequence[Sequence[Problem]], n: int, observe: Observe) -> int:
    """Cut the file behind its last complete block, report what stays, and return how many blocks that is."""
    lines = complete_lines(path)
    finished = _finished(len(lines), blocks, n)
    kept = sum(finished)
    write_atomically(path, to_lines(lines[:kept]))
    for start in range(0, kept, n):
        observe(lines[start : start + n])
    return len(finished)
