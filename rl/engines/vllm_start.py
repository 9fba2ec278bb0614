"""With which options vLLM is started, and what is said where it cannot be. `vllm` is imported here too."""

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from vllm import LLM

from doubleback.rewards.types import ConfigError
from doubleback.rl.engines.setup import EngineSetup, Strategy
from doubleback.rl.policy.base import is_cuda, load_configuration
from doubleback.rl.policy.cache import BLOCK, FEWEST_MIB, cache_mib
from doubleback.rl.types import ModelSource

LEAST_SHARE = 0.001
"""Of a card's memory, what vLLM is told to plan with. Nothing is planned with it, since the cache's size is given."""


def started(setup: EngineSetup, **options: Any) -> LLM:
    """vLLM with these options. ConfigError where the cache or the head cannot be as they are asked for, or where the
    model has no weights in safetensors.
    """
    try:
        with _plain_path(options.pop("model")) as path:
            return LLM(model=path, **options)
    except (ValueError, RuntimeError) as error:
        asked, said = options["kv_cache_memory_bytes"] >> 20, " ".join(str(error).split())
        if "Cannot find any model weights" in said:
            raise ConfigError(f"model.path={setup.model.path} has no weights in safetensors; convert them") from error
        if "less than requested memory for kv" in said:
            raise ConfigError(
                f"engine.kv_cache_mib={asked} is more than there is: {said[:200]}; lower it, or leave it at auto"
            ) from error
        if "KV cache is needed" in said:
            raise ConfigError(
                f"engine.kv_cache_mib={asked} holds no sequence of model.max_length={setup.model.max_length}; raise "
                "the first, lower the second, or leave the first at auto"
            ) from error
        if "unquantized lm_head" in said:
            raise ConfigError(
                f"model.head_dtype={setup.model.head_dtype}: vLLM has a quantised LM head here, which it computes in "
                "its own precision; set model.head_dtype=bfloat16"
            ) from error
        raise


@contextmanager
def _plain_path(path: str) -> Iterator[str]:
    """The model's path as vLLM can read it, which takes brackets and stars in one for a pattern: then a link to it."""
    if glob.escape(path) == path:
        yield path
        return
    with TemporaryDirectory(prefix="doubleback-model-") as folder:
        link = Path(folder, "model")
        link.symlink_to(Path(path).resolve())
        yield str(link)


def fitting_cache_mib(setup: EngineSetup) -> int:
    """MiB of the key-value cache: what is asked for, or what max_num_seqs completions fill."""
    if setup.kv_cache_mib is not None:
        return setup.kv_cache_mib
    model, width = setup.model, getattr(torch, setup.model.dtype).itemsize
    full = cache_mib(load_configuration(model.path), width, setup.max_num_seqs, model.max_length)
    return max(FEWEST_MIB, full)


def device_options(model: ModelSource, reports_routes: bool) -> dict[str, Any]:
    """The options that are others on a CPU than on CUDA.

    What prompts have in common is computed once as far as it fills blocks of the cache: on a CPU these are the smallest
    that its kernel takes. Multi-head latent attention (DeepSeek) has blocks of its own, and in float32 a back end of
    its own: where the CPU has AMX, vLLM prefers that, which refuses float32 when the weights are packed.
    """
    if is_cuda():
        # The share of the card that must be free at the start, though the cache's size is given: 0.92 by default, which
        # it is not beside the trainer's base.
        share = {"gpu_memory_utilization": LEAST_SHARE}
        return share | ({"enable_return_routed_experts": True} if reports_routes else {})
    # A prompt cut over two batches draws from its seed twice: vLLM takes that back on CUDA, the CPU crashes.
    options: dict[str, Any] = {"enable_chunked_prefill": False}
    if getattr(load_configuration(model.path), "kv_lora_rank", None) is None:
        return options | {"block_size": BLOCK}
    return options | ({"attention_backend": "CPU_MLA"} if model.dtype == "float32" else {})


def lora_options(strategy: Strategy) -> dict[str, Any]:
    """The options of an engine that serves adapters as they are."""
    if strategy.name != "runtime":
        return {}
    return {
        "enable_lora": True,
        "max_loras": 1,
        "max_cpu_loras": 2,  # the next one is loaded while the last one is still there
        "max_lora_rank": strategy.max_rank,
        "lora_target_modules": list(strategy.modules),  # modules without an adapter stay as they are
    }
