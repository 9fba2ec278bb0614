"""Sample and judge a suite, problem by problem into one file that a killed run continues, to the same last byte.

Problems go to the engine in blocks of a fixed size, and a block is a pure function of its problems, seeds and adapter
(`rl.engines.engine.Engine.sample`). A run that was killed drops the block it was in and samples it again, so that the
batches inside the engine, and with them every rounding, are those of an uninterrupted run.
"""

import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from doubleback.eval.samples import read_lines, sample_lines
from doubleback.rewards.types import Completion, Problem, Score
from doubleback.rl.engines.engine import Sampler
from doubleback.rl.rollout.scoring import Scorer
from doubleback.rl.seeds import sample_seed
from doubleback.rl.types import Group, Sampling

BLOCK_SAMPLES = 1024
"""Completions of a block: several times what an engine samples at once, so that its end costs little."""
LAG = 8
"""Groups whose judgement may still be on its way while the engine goes on."""
Observe = Callable[[Sequence[Mapping[str, Any]]], None]
"""Called with the lines of each problem as it is finished."""


def generate(
    engine: Sampler,
    problems: Sequence[Problem],
    scorer: Scorer,
    sampling: Sampling,
    path: Path,
    *,
    suite: str,
    seed: int,
    observe: Observe,
) -> None:
    """Append the samples of all problems to `path`, `sampling.group_size` lines a problem, in their order.

    `observe` gets the lines of each problem as it is finished, those of an earlier run first.
    """
    blocks = list(_blocks(problems, max(1, BLOCK_SAMPLES // sampling.group_size)))
    done = _keep_finished_blocks(path, blocks, sampling.group_size, observe)
    with path.open("a", encoding="utf-8") as file:
        for block in blocks[done:]:
            seeds = [sample_seed(seed, f"eval {suite}", problem.id) for problem in block]
            writer = _InOrder(block, scorer, file, observe)
            engine.sample(block, sampling, seeds, on_group=writer.take)
            writer.finish()
            os.fsync(file.fileno())


class _InOrder:
    """Judges the groups of a block as they come, and writes them in the order of their problems."""

    def __init__(self, block: Sequence[Problem], scorer: Scorer, file: TextIO, observe: Observe) -> None:
        self._waiting, self._scorer, self._file, self._observe = deque(range(len(block))), scorer, file, observe
        self._started: dict[int, tuple[Group, Callable[[], Sequence[Score]]]] = {}
        self._judged: list[tuple[Problem, Completion, Score]] = []

    def take(self, index: int, group: Group) -> None:
        """A group that the engine has finished; called while it works on others."""
        self._started[index] = group, self._scorer.start(group.problem, group.completions)
        # Some way behind, so that the engine need not wait for a worker that is still judging.
        while len(self._started) > LAG and self._waiting[0] in self._started:
            self._write()

    def finish(self) -> None:
        """Write what is left. RunError where too much of the block could not be judged."""
        while self._waiting:
            self._write()
        self._file.flush()
        self._scorer.refuse_faults(self._judged)

    def _write(self) -> None:
        group, wait = self._started.pop(self._waiting.popleft())
        scored = replace(group, scores=tuple(wait()))
        self._judged += [(group.problem, *pair) for pair in zip(group.completions, scored.scores, strict=True)]
        lines = list(sample_lines(scored))
        self._file.write("".join(json.dumps(line) + "\n" for line in lines))
        self._observe(lines)


def _blocks(problems: Sequence[Problem], size: int) -> Iterator[Sequence[Problem]]:
    for start in range(0, len(problems), size):
        yield problems[start : start + size]


def _keep_finished_blocks(path: Path, blocks: Sequence[Sequence[Problem]], n: int, observe: Observe) -> int:
    """Cut the file behind its last complete block, report what stays, and return how many blocks that is."""
    lines = read_lines(path)
    done = kept = 0
    for block in blocks:
        if kept + len(block) * n > len(lines):
            break
        done, kept = done + 1, kept + len(block) * n
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text("".join(json.dumps(line) + "\n" for line in lines[:kept]), encoding="utf-8")
    temporary.replace(path)
    for start in range(0, kept, n):
        observe(lines[start : start + n])
    return done
