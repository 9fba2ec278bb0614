"""vLLM inside this process. The only module that imports vllm.

The adapter arrives as merged weights: W + scaling * B A is computed out of place from the untouched base and reloaded.
vLLM cannot run expert LoRA on the CPU (it needs Triton), and reloading is exact after two corrections, each of which
is a silent error without it: see `_repack_experts_on_update`, and the prefix cache in `load_adapter`. A tied head is
sent under its own name (`rl.model.base_tensors` keeps both), since vLLM holds its own copy.
"""

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

# Before vllm is imported. In-process engine: no second interpreter to start and to keep alive. The sampler's compiled
# functions cost 12 to 24 s at the first step and gain nothing on the CPU.
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

_set_num_threads = torch.set_num_threads  # vllm replaces it by a function that does nothing

from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerBase  # noqa: E402
from transformers.core_model_loading import revert_weight_conversion  # noqa: E402

logging.getLogger("torch._library.triton").setLevel(logging.ERROR)  # "Triton not available": on a CPU it need not be
warnings.filterwarnings("ignore", category=FutureWarning, module=r"vllm\.")

from vllm import LLM, SamplingParams  # noqa: E402
from vllm.model_executor.layers.fused_moe.unquantized_fused_moe_method import (  # noqa: E402
    UnquantizedFusedMoEMethod,
    UnquantizedMoeBackend,
)
from vllm.sampling_params import RequestOutputKind  # noqa: E402

from doubleback.rewards.types import Completion, Problem  # noqa: E402
from doubleback.rl.config import EngineConfig, ModelConfig, SamplingConfig  # noqa: E402
from doubleback.rl.engine import NO_ADAPTER, OnGroup, TokenSequence, completion_text, encode_prompts  # noqa: E402
from doubleback.rl.lora import Adapter  # noqa: E402
from doubleback.rl.merging import merged  # noqa: E402
from doubleback.rl.types import Group  # noqa: E402

torch.set_num_threads = _set_num_threads


class VllmEngine:
    """See `rl.engine.Engine`."""

    def __init__(
        self,
        config: EngineConfig,
        model: ModelConfig,
        base: Mapping[str, torch.Tensor],
        tokenizer: PreTrainedTokenizerBase,
        has_stop_strings: bool = False,
    ) -> None:
        _repack_experts_on_update()
        self._tokenizer, self._model, self._base = tokenizer, model, base
        self._version, self._adapter_hash = 0, NO_ADAPTER
        threads, random_state = torch.get_num_threads(), torch.get_rng_state()
        self._llm = LLM(
            model=model.path,
            dtype=model.dtype,
            max_model_len=model.max_length,
            max_num_seqs=config.max_num_seqs,
            kv_cache_memory_bytes=config.kv_cache_mib << 20,  # the default is a share of all memory: too much on a VM
            enforce_eager=True,
            # A prompt cut over two batches draws from its seed twice: vLLM takes that back on CUDA, the CPU crashes.
            enable_chunked_prefill=None if torch.cuda.is_available() else False,
            skip_tokenizer_init=not has_stop_strings,
            logprobs_mode="processed_logprobs",  # the default ignores the temperature
            # The fused rotary kernel is wrong on the CPU for interleaved rotary embeddings (DeepSeek).
            compilation_config={"custom_ops": ["-rotary_embedding"]},
            disable_log_stats=True,
            use_tqdm_on_load=False,
            seed=0,
        )
        # vLLM reseeds the global generator and may change the thread count.
        torch.set_rng_state(random_state)
        torch.set_num_threads(threads)
        self._runner = self._llm.llm_engine.model_executor.driver_worker.worker.model_runner
        with torch.device("meta"):
            self._skeleton = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model.path))

    def load_adapter(self, adapter: Adapter, version: int) -> None:
        weights = {**self._base, **merged(self._base, adapter)}
        # transformers' parameter names to those of a checkpoint, which are the ones that vLLM loads
        named = revert_weight_conversion(self._skeleton, weights)
        self._runner.reload_weights(weights_iterator=iter(named.items()))
        self._llm.reset_prefix_cache()  # else prompts keep the keys and values of the old adapter
        self._version, self._adapter_hash = version, adapter.hash

    def sample(
        self,
        problems: Sequence[Problem],
        sampling: SamplingConfig,
        seeds: Sequence[int],
        on_group: OnGroup | None = None,
    ) -> list[Group]:
        prompts = encode_prompts(problems, self._tokenizer, sampling.max_tokens, self._model.max_length)
        params = [
            SamplingParams(
                n=sampling.group_size,
                seed=seed,  # vLLM gives sample i of a request its seed + i
                temperature=sampling.temperature,
                max_tokens=sampling.max_tokens,
                stop_token_ids=[self._tokenizer.eos_token_id],
                stop=list(sampling.stop),
                logprobs=0,
                detokenize=bool(sampling.stop),  # stop strings are found in text
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            for seed in seeds
        ]
        # Not LLM.generate: it returns when all are done, and groups are scored while others are still sampled.
        engine, groups = self._llm.llm_engine, {}
        # Cached keys and values were computed in batches of another shape, and may differ in the last bit.
        self._llm.reset_prefix_cache()
        for row, ids in enumerate(prompts):
            engine.add_request(str(row), {"prompt_token_ids": list(ids)}, params[row])
        while engine.has_unfinished_requests():
            for output in engine.step():
                row = int(output.request_id)
                completions = tuple(self._completion(sample, seeds[row], sampling.stop) for sample in output.outputs)
                groups[row] = Group(problems[row], prompts[row], completions)
                if on_group is not None:
                    on_group(groups[row])
        return [groups[row] for row in range(len(problems))]

    def score(self, sequences: Sequence[TokenSequence]) -> list[tuple[float, ...]]:
        params = SamplingParams(max_tokens=1, temperature=1.0, prompt_logprobs=0, detokenize=False)
        requests = [{"prompt_token_ids": [*prompt, *completion]} for prompt, completion in sequences]
        outputs = self._llm.generate(requests, params, use_tqdm=False)
        return [
            tuple(
                output.prompt_logprobs[len(prompt) + position][token].logprob
                for position, token in enumerate(completion)
            )
            for (prompt, completion), output in zip(sequences, outputs, strict=True)
        ]

    def close(self) -> None:
        self._llm.llm_engine.engine_core.shutdown()

    def _completion(self, sample: Any, seed: int, stop: Sequence[str]) -> Completion:
        return Completion(
            text=completion_text(sample.token_ids, self._tokenizer, stop),
            token_ids=tuple(sample.token_ids),
            sampler_logprobs=tuple(
                entry[token].logprob for entry, token in zip(sample.logprobs, sample.token_ids, strict=True)
            ),
            finish_reason=sample.finish_reason,
            policy_version=self._version,
            adapter_hash=self._adapter_hash,
            seed=seed + sample.index,
        )


def _repack_experts_on_update() -> None:
    """Make vLLM prepack the experts for its CPU kernel on every update, not on the first load alone.

    Without it each reload leaves every MoE layer with unpacked weights that the kernel misreads: up to 4 nats off.
    """
    original = UnquantizedFusedMoEMethod._setup_kernel
    if getattr(original, "repacks", False):
        return

    def setup_kernel(self: Any, layer: Any, w13: torch.Tensor, w2: torch.Tensor) -> None:
        is_update = self.moe_kernel is not None
        original(self, layer, w13, w2)
        if is_update and self.unquantized_backend == UnquantizedMoeBackend.CPU:
            self.moe_kernel.fused_experts.process_weights_after_loading(layer)

    setup_kernel.repacks = True  # type: ignore[attr-defined]
    UnquantizedFusedMoEMethod._setup_kernel = setup_kernel
