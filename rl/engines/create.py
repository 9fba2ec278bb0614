"""From a setup to the engine that it names: here, or several elsewhere that share every call."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from doubleback.rewards.contract.lookup import at_location
from doubleback.rewards.types import ConfigError
from doubleback.rl.engines.engine import Engine
from doubleback.rl.engines.fleet.crew import Crew
from doubleback.rl.engines.fleet.fleet import Fleet
from doubleback.rl.engines.fleet.health import Limits
from doubleback.rl.engines.fleet.replica import Make, replica, replica_from_disk
from doubleback.rl.engines.setup import EngineSetup
from doubleback.rl.engines.table import engine_row
from doubleback.rl.remote.process import ProcessRemote, device_apart
from doubleback.rl.remote.remote import Remote

METHODS = ("load_adapter", "sample", "score", "close")
"""What an engine must have: `rl.engines.engine.Engine`."""


def create_engine(
    setup: EngineSetup,
    base: Mapping[str, Tensor],
    tokenizer: PreTrainedTokenizerBase,
    *,
    is_apart: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Engine:
    """The engine that `setup` names, started. `base`: the frozen parameters, from which merged weights are computed.

    `is_apart`: in a process of its own, to sample while this one learns, as several always are; `say` is then told of
    those that are replaced. ConfigError where
    `setup.engine` is the place of something else than an engine, or of one that does not compute its head as the
    trainer does.
    """
    if is_apart or setup.processes > 1:
        return start_engines(create_engine, setup, base, tokenizer, say)
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


def start_engines(
    make: Make,
    setup: EngineSetup,
    base: Mapping[str, Tensor],
    tokenizer: PreTrainedTokenizerBase,
    say: Callable[[str], None] = lambda line: None,
) -> Fleet:
    """The `setup.processes` engines that `make` makes of a share of the setup each, in processes of this machine.

    The frozen base is handed over in shared memory. Errors are those of `Crew.require_started`; no process is then
    left.
    """
    apart = [
        device_apart(index, torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES"))
        for index in range(setup.processes)
    ]
    # What an engine's process cannot see, it cannot be given.
    shared = {name: tensor.cpu() for name, tensor in base.items()} if apart[0] else dict(base)

    def start(index: int) -> ProcessRemote:
        given = make, _patient(setup), shared, tokenizer
        return ProcessRemote(f"engine {index + 1}", replica, given, apart[index])

    return fleet(start, setup, say)


def engines_elsewhere(
    start: Callable[[int, Callable[..., Any], Sequence[Any]], Remote],
    setup: EngineSetup,
    say: Callable[[str], None],
    share: Callable[[Any], Any],
) -> Fleet:
    """The `setup.processes` engines that `start` starts on whatever machines, each with the base as it lies there.

    `share` prepares what is passed to all of them. Errors are those of `Crew.require_started`.
    """
    given = create_engine, _patient(setup)
    return fleet(lambda index: start(index, replica_from_disk, given), setup, say, share)


def fleet(
    start: Callable[[int], Remote],
    setup: EngineSetup,
    say: Callable[[str], None],
    share: Callable[[Any], Any] = lambda value: value,
) -> Fleet:
    """The `setup.processes` replicas that `start` starts, once all of them are there."""
    crew = Crew(start, setup.processes, Limits(setup.stall_seconds, setup.restarts, setup.floor), say)
    crew.require_started()
    return Fleet(crew, setup.share.max_num_seqs, share)


def _patient(setup: EngineSetup) -> EngineSetup:
    """What one replica is given: the near side keeps the time, and names what hangs."""
    return replace(setup.share, stall_seconds=math.inf)
