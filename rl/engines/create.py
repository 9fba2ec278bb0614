"""The engine that a recipe names."""

from collections.abc import Mapping

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from doubleback.rl.config import EngineConfig, ModelConfig
from doubleback.rl.engines.delivery import MERGED, Strategy
from doubleback.rl.engines.engine import Engine


def create_engine(
    config: EngineConfig,
    model: ModelConfig,
    base: Mapping[str, Tensor],
    tokenizer: PreTrainedTokenizerBase,
    has_stop_strings: bool = False,
    strategy: Strategy = MERGED,
    *,
    is_apart: bool = False,
) -> Engine:
    """The engine that the recipe names. `base`: the frozen parameters, from which merged weights are computed.

    `has_stop_strings`: whether any sampling will ask for them; vLLM then needs a tokenizer of its own. `strategy`: how
    adapters will be delivered (`rl.engines.delivery.choose`). `is_apart`: in a process of its own, to
    sample while this one learns.
    """
    if is_apart:
        from doubleback.rl.engines.process import ProcessEngine

        return ProcessEngine(config, model, base, tokenizer, has_stop_strings, strategy)
    match config.name:
        case "vllm":
            from doubleback.rl.engines.vllm import VllmEngine  # 6 s of imports that the other engine does not need

            return VllmEngine(config, model, base, tokenizer, has_stop_strings, strategy)
        case "transformers":
            from doubleback.rl.engines.transformers import TransformersEngine

            return TransformersEngine(config, model, base, tokenizer)
