"""One part of a reward: a function, and how its calls are started and waited for."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from doubleback.rewards.compose.config import ComponentConfig
from doubleback.rewards.contract.call import Results, Samples, call_now
from doubleback.rewards.contract.functions import Scope
from doubleback.rewards.workers.pool import Facts, WorkerPool

Finish = Callable[[], Results]
"""Waits where something is still on its way, and gives one score per completion."""
Start = Callable[[Samples, int], Finish]
"""(completions of one problem, number of updates before them) -> their scores, some time."""


@dataclass(frozen=True, slots=True)
class Component:
    """A named measurement that counts towards the reward."""

    name: str
    key: str
    """Where the user named it, for messages."""
    config: ComponentConfig
    facts: Facts
    """What its function asks for."""
    start: Start

    @property
    def scope(self) -> Scope:
        """What one call sees."""
        return Scope(self.config.scope or self.facts.scope)


def in_host(function: Any, is_messages: bool = False) -> Start:
    """Call a built-in function here and now, or let it start its own work where it has some (`math`)."""

    def start(samples: Samples, step: int) -> Finish:
        begun = time.perf_counter()
        if hasattr(function, "start"):
            finish: Finish = function.start(samples)
            return _timed(finish, time.perf_counter() - begun, len(samples.completions))
        scores = call_now(function, samples, is_messages=is_messages, step=step)
        return _timed(lambda: scores, time.perf_counter() - begun, len(scores))

    return start


def in_worker(pool: WorkerPool, name: str, scope: Scope, is_messages: bool) -> Start:
    """Send each completion, or the whole group, to a worker that has loaded the function `name`."""

    def start(samples: Samples, step: int) -> Finish:
        if scope == Scope.GROUP:
            whole = pool.submit(name, samples, is_messages=is_messages, step=step)
            return lambda: pool.result(whole)
        rows = range(len(samples.completions))
        futures = [pool.submit(name, samples.row(row), is_messages=is_messages, step=step) for row in rows]
        return lambda: _joined(pool, futures)

    return start


def _joined(pool: WorkerPool, futures: Sequence[Future[Results]]) -> Results:
    return [score for future in futures for score in pool.result(future)]


def _timed(finish: Finish, seconds: float, size: int) -> Finish:
    """The scores of `finish`, each with its share of what this process spent, over what a worker reported."""
    share = seconds / max(size, 1)
    return lambda: [score and replace(score, seconds=(score.seconds or 0.0) + share) for score in finish()]
