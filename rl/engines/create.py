"""From a setup to the engine that it names."""

from collections.abc import Mapping

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from doubleback.rewards.contract.lookup import at_location
from doubleback.rewards.types import ConfigError
from doubleback.rl.engines.engine import Engine
from doubleback.rl.engines.process import ProcessEngine
from doubleback.rl.engines.setup import EngineSetup
from doubleback.rl.engines.table import engine_row

METHODS = ("load_adapter", "sample", "score", "close")
"""What an engine must have: `rl.engines.engine.Engine`."""


def create_engine(
    setup: EngineSetup, base: Mapping[str, Tensor], tokenizer: PreTrainedTokenizerBase, *, is_apart: bool = False
) -> Engine:
    """The engine that `setup` names, started. `base`: the frozen parameters, from which merged weights are computed.

    `is_apart`: in a process of its own, to sample while this one learns. ConfigError where `setup.engine` is the place
    of something else than an engine, or of one that does not compute its head as the trainer does.
    """
    if is_apart:
        return ProcessEngine(create_engine, setup, base, tokenizer)
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
