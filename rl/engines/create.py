"""From a setup to the engine that it names: here, in a process of its own, or several that share every call."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import astuple
from threading import Lock
from typing import TypeVar

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from doubleback.rewards.contract.lookup import at_location
from doubleback.rewards.types import ConfigError, Problem
from doubleback.rl.engines.engine import Engine, Load, OnGroup
from doubleback.rl.engines.process import Make, ProcessEngine
from doubleback.rl.engines.setup import EngineSetup
from doubleback.rl.engines.table import engine_row
from doubleback.rl.policy.lora import Adapter
from doubleback.rl.types import Group, Sampling, TokenSequence

Answer = TypeVar("Answer")
SAME_FAULT_SECONDS = 1.0
"""How long the others have after an engine failed: a call that is wrong fails in all, and the first is then named."""
METHODS = ("load_adapter", "sample", "score", "close")
"""What an engine must have: `rl.engines.engine.Engine`."""


def create_engine(
    setup: EngineSetup, base: Mapping[str, Tensor], tokenizer: PreTrainedTokenizerBase, *, is_apart: bool = False
) -> Engine:
    """The engine that `setup` names, started. `base`: the frozen parameters, from which merged weights are computed.

    `is_apart`: in a process of its own, to sample while this one learns, as several always are. ConfigError where
    `setup.engine` is the place of something else than an engine, or of one that does not compute its head as the
    trainer does.
    """
    if is_apart or setup.processes > 1:
        return start_engines(create_engine, setup, base, tokenizer)
    # Only now: importing vLLM takes 6 s that another engine, or a process of its own, does not need here.
    make = at_location(engine_row(setup.engine).location, "engine.name")
    if not callable(make):
        raise ConfigError(f"engine.name={setup.engine} is no engine, but {type(make).__name__}")
    engine: Engine = make(setup, base, tokenizer)
    if missing := [name for name in METHODS if not callable(getattr(engine, name, None))]:
        raise ConfigError(
            f"engine.name={setup.engine} makes {type(engine).__name__}, which has no {missing[0]}; an engine has the "
            f"methods of rl.engines.engine.Engine"
        )
    _require_head(engine, setup)
    return engine


def _require_head(engine: Engine, setup: EngineSetup) -> None:
    """ConfigError unless the engine computes logits in the precision that is asked for; the engine is then closed."""
    asked, computed = setup.model.head_dtype, getattr(engine, "head_dtype", setup.model.dtype)
    if computed != asked:
        engine.close()
        raise ConfigError(
            f"model.head_dtype={asked}: engine.name={setup.engine} computes the logits in {computed}, and two sides "
            f"that differ are further apart than either alone; set model.head_dtype={computed}"
        )


class EnginePool:
    """Several engines with one adapter, which share every call. See `rl.engines.engine.Engine`.

    Who samples which problem is a function of its place in the call alone, so that no bit depends on who is faster.
    """

    def __init__(self, engines: Sequence[ProcessEngine]) -> None:
        self._engines = engines
        self._threads = ThreadPoolExecutor(len(engines), thread_name_prefix="engine")

    def load_adapter(self, adapter: Adapter, version: int) -> None:
        """Serve `adapter` from now on, all of them."""
        self._each(lambda index: self._engines[index].load_adapter(adapter, version))

    def sample(
        self,
        problems: Sequence[Problem],
        sampling: Sampling,
        seeds: Sequence[int],
        on_group: OnGroup | None = None,
    ) -> list[Group]:
        """A group for each problem. Of three engines the second has the problems 1, 4, 7 ..."""
        count, lock = len(self._engines), Lock()

        def share(first: int) -> list[Group]:
            rows = range(first, len(problems), count)

            def hand_over(index: int, group: Group) -> None:
                if on_group is not None:
                    with lock:
                        on_group(rows[index], group)

            mine = problems[first::count], sampling, seeds[first::count]
            return self._engines[first].sample(*mine, hand_over) if rows else []

        shares = self._each(share)
        return [shares[row % count][row // count] for row in range(len(problems))]

    def score(self, sequences: Sequence[TokenSequence]) -> list[tuple[float, ...]]:
        """Each engine scores everything, and tokens are taken of one after the other.

        An engine that serves another adapter than the rest so shows in its share of every sequence.
        """
        count, answers = len(self._engines), self._each(lambda index: self._engines[index].score(sequences))
        return [
            tuple(answers[position % count][row][position] for position in range(len(completion)))
            for row, (_, completion) in enumerate(sequences)
        ]

    def load(self) -> Load | None:
        """All of them together."""
        known = [load for engine in self._engines if (load := engine.load()) is not None]
        return Load(*map(sum, zip(*map(astuple, known), strict=True))) if len(known) == len(self._engines) else None

    def close(self) -> None:
        """Free what the engines hold, all at once. A call that is under way is not waited for."""
        # Threads of their own: those of the calls may be waiting for an engine.
        with ThreadPoolExecutor(len(self._engines)) as closing:
            list(closing.map(lambda engine: engine.close(), self._engines))
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _each(self, call: Callable[[int], Answer]) -> list[Answer]:
        """What `call` returns of each engine's number, all at once; what the first in order that fails raises."""
        calls = [self._threads.submit(call, index) for index in range(len(self._engines))]
        if wait(calls, return_when=FIRST_EXCEPTION).not_done:
            wait(calls, timeout=SAME_FAULT_SECONDS)
        for ended in calls:
            if ended.done():
                ended.result()
        return [ended.result() for ended in calls]


def start_engines(
    make: Make, setup: EngineSetup, base: Mapping[str, Tensor], tokenizer: PreTrainedTokenizerBase
) -> Engine:
    """The `setup.processes` engines that `make` makes of a share of the setup each, started beside one another.

    Errors are those of `ProcessEngine.require_started`; no process is then left.
    """
    engines = [ProcessEngine(make, setup.share, base, tokenizer, index) for index in range(setup.processes)]
    try:
        for engine in engines:
            engine.require_started()
    except BaseException:
        for engine in engines:
            engine.kill()
        raise
    return engines[0] if len(engines) == 1 else EnginePool(engines)
