"""vLLM inside this process. `vllm` is imported here and in vllm_*.py beside it alone.

Samples and scores; how an adapter gets in is `rl.engines.vllm_adapters`.
"""

import logging
import math
import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

# Before vllm is imported. In-process engine: no second interpreter to start and to keep alive. The sampler's compiled
# functions cost 12 to 24 s at the first step and gain nothing on the CPU; of the two variables that say so, the other,
# TORCH_COMPILE_DISABLE, is read when torch's compiler is imported, which peft has done by now.
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")

import torch

_set_num_threads = torch.set_num_threads  # vllm replaces it by a function that does nothing

from transformers import PreTrainedTokenizerBase  # noqa: E402

logging.getLogger("torch._library.triton").setLevel(logging.ERROR)  # "Triton not available": on a CPU it need not be
warnings.filterwarnings("ignore", category=FutureWarning, module=r"vllm\.")

from vllm import SamplingParams  # noqa: E402
from vllm.outputs import CompletionOutput  # noqa: E402
from vllm.sampling_params import RequestOutputKind  # noqa: E402

from doubleback.rewards.types import Completion, Problem, RunError  # noqa: E402
from doubleback.rl.engines.engine import (  # noqa: E402
    NO_ADAPTER,
    Asked,
    Feed,
    Load,
    OnGroup,
    all_at_once,
    completion_text,
    encode_prompts,
)
from doubleback.rl.engines.setup import EngineSetup  # noqa: E402
from doubleback.rl.engines.vllm_adapters import MergedReload, RuntimeAdapter, correct_vllm  # noqa: E402
from doubleback.rl.engines.vllm_routes import RouteCapture  # noqa: E402
from doubleback.rl.engines.vllm_start import device_options, fitting_cache_mib, lora_options, started  # noqa: E402
from doubleback.rl.hanging import Watchdog  # noqa: E402
from doubleback.rl.policy.base import end_ids, is_cuda, load_configuration  # noqa: E402
from doubleback.rl.policy.families import family_of, num_experts  # noqa: E402
from doubleback.rl.policy.lora import Adapter  # noqa: E402
from doubleback.rl.types import Group, Routes, Sampling, TokenSequence  # noqa: E402

torch.set_num_threads = _set_num_threads


class VllmEngine:
    """See `rl.engines.engine.Engine`."""

    def __init__(
        self, setup: EngineSetup, base: Mapping[str, torch.Tensor], tokenizer: PreTrainedTokenizerBase
    ) -> None:
        correct_vllm()
        model = setup.model
        self._tokenizer, self._model = tokenizer, model
        self._ends = end_ids(model.path, tokenizer)
        self._version, self._adapter_hash = 0, NO_ADAPTER
        self._num_done = self._num_done_tokens = 0
        self._num_experts = num_experts(load_configuration(model.path)) if setup.returns_routes else 0
        threads, random_state = torch.get_num_threads(), torch.get_rng_state()
        self._llm = started(
            setup,
            model=model.path,
            dtype=model.dtype,
            trust_remote_code=False,
            load_format="safetensors",
            hf_overrides={"head_dtype": model.head_dtype},
            max_model_len=model.max_length,
            max_num_seqs=setup.max_num_seqs,
            kv_cache_memory_bytes=fitting_cache_mib(setup)
            << 20,  # the default is a share of all memory: too much on a VM
            enforce_eager=True,
            skip_tokenizer_init=not setup.has_stop_strings,
            logprobs_mode="processed_logprobs",  # the default ignores the temperature
            # The fused rotary kernel is wrong on the CPU for interleaved rotary embeddings (DeepSeek).
            compilation_config={"custom_ops": ["-rotary_embedding"]},
            disable_log_stats=True,
            use_tqdm_on_load=False,
            seed=0,
            **lora_options(setup.strategy),
            **device_options(model, self._num_experts > 0),
        )
        # vLLM reseeds the global generator and may change the thread count.
        torch.set_rng_state(random_state)
        torch.set_num_threads(threads)
        # What it will do: on a platform without float32 vLLM falls back to the model's dtype, with a warning alone.
        self.head_dtype = str(self._llm.llm_engine.model_config.head_dtype).removeprefix("torch.")
        family = family_of(self._llm.llm_engine.model_config.hf_config)
        self._delivery: MergedReload | RuntimeAdapter = (
            RuntimeAdapter(self._llm, family)
            if setup.strategy.name == "runtime"
            else MergedReload(self._llm, model.path, base, family)
        )

        # The processor waits for a device in a loop, which is no sign of life.
        self._watchdog = Watchdog("vLLM", setup.stall_seconds, may_compute=not is_cuda())
        self._capture = RouteCapture(self._llm, self._num_experts) if self._num_experts and not is_cuda() else None

    def load_adapter(self, adapter: Adapter, version: int) -> None:
        """Serve `adapter` from now on, as `rl.engines.engine.Engine` says."""
        if adapter.hash != self._adapter_hash:
            self._watchdog.call("loading an adapter", self._delivery.load, adapter, version)
        self._llm.reset_prefix_cache()  # else prompts keep the keys and values of the old adapter
        self._version, self._adapter_hash = version, adapter.hash

    def sample(
        self,
        problems: Sequence[Problem],
        sampling: Sampling,
        seeds: Sequence[int],
        on_group: OnGroup | None = None,
    ) -> list[Group]:
        """A group for each problem, as `rl.engines.engine.Sampler` says."""
        groups: dict[int, Group] = {}

        def keep(row: int, group: Group) -> None:
            groups[row] = group
            if on_group is not None:
                on_group(row, group)

        self.sample_fed(all_at_once(problems, seeds), sampling, keep)
        return [groups[row] for row in range(len(problems))]

    def sample_fed(self, feed: Feed, sampling: Sampling, on_group: OnGroup) -> None:
        """Groups of what `feed` brings, as `rl.engines.engine.Fed` says."""
        # Not LLM.generate: it returns when all are done, and groups are scored while others are still sampled.
        engine, asked = self._llm.llm_engine, dict[int, tuple[Problem, tuple[int, ...], int]]()
        # Cached keys and values were computed in batches of another shape, and may differ in the last bit.
        self._llm.reset_prefix_cache()
        if self._capture is not None:
            self._capture.start()
        is_fed = True
        try:
            while is_fed or engine.has_unfinished_requests():
                if is_fed:
                    more = feed(not engine.has_unfinished_requests())
                    is_fed = more is not None
                    asked |= self._add(more or (), sampling)
                if engine.has_unfinished_requests():
                    for output in self._watchdog.call("a step of sampling", engine.step):
                        row = int(output.request_id)
                        on_group(row, self._group(row, *asked.pop(row), output, sampling))
        finally:
            engine.abort_request([str(row) for row in asked])  # what is left where a prompt was refused

    def _add(self, more: Sequence[Asked], sampling: Sampling) -> dict[int, tuple[Problem, tuple[int, ...], int]]:
        """Have vLLM begin with these problems: number -> problem, prompt and seed."""
        problems = [problem for _, problem, _ in more]
        prompts = encode_prompts(problems, self._tokenizer, sampling.max_tokens, self._model.max_length)
        for (row, _, seed), ids in zip(more, prompts, strict=True):
            params = _sampling_params(sampling, seed, self._ends)
            prompt = {"prompt_token_ids": list(ids)}
            self._llm.llm_engine.add_request(str(row), prompt, params, lora_request=self._delivery.request)
        return {row: (problem, ids, seed) for (row, problem, seed), ids in zip(more, prompts, strict=True)}

    def _group(
        self, row: int, problem: Problem, prompt: tuple[int, ...], seed: int, output: Any, sampling: Sampling
    ) -> Group:
        completions = tuple(self._completion(sample, seed, sampling.stop) for sample in output.outputs)
        routes = tuple(self._routes(row, prompt, sample) for sample in output.outputs)
        self._num_done += len(completions)
        self._num_done_tokens += sum(len(completion.token_ids) for completion in completions)
        return Group(problem, prompt, completions, routes=routes)

    def load(self) -> Load:
        """How the engine stands, as `rl.engines.engine.Watched` says: its scheduler runs in this process."""
        scheduler = self._llm.llm_engine.engine_core.engine_core.scheduler
        running, waiting = scheduler.get_request_counts()
        under_way = sum(request.num_output_tokens for request in list(scheduler.running))
        return Load(running, waiting, self._num_done, self._num_done_tokens + under_way, self._num_done_tokens)

    def score(self, sequences: Sequence[TokenSequence]) -> list[tuple[float, ...]]:
        """Log-probabilities of given completions, as `rl.engines.engine.Engine` says."""
        params = SamplingParams(max_tokens=1, temperature=1.0, prompt_logprobs=0, detokenize=False)
        requests = [{"prompt_token_ids": [*prompt, *completion]} for prompt, completion in sequences]
        outputs = self._watchdog.call(
            "scoring", self._llm.generate, requests, params, use_tqdm=False, lora_request=self._delivery.request
        )
        return [
            tuple(
                output.prompt_logprobs[len(prompt) + position][token].logprob
                for position, token in enumerate(completion)
            )
            for (prompt, completion), output in zip(sequences, outputs, strict=True)
        ]

    def close(self) -> None:
        """Free what the engine holds."""
        self._watchdog.close()
        self._delivery.close()
        self._llm.llm_engine.engine_core.shutdown()

    def _routes(self, row: int, prompt: tuple[int, ...], sample: CompletionOutput) -> Routes | None:
        if self._capture is not None:
            return self._capture.take(row, sample.index, [*prompt, *sample.token_ids])
        return _reported_routes(sample, len(prompt), self._num_experts) if self._num_experts else None

    def _completion(self, sample: Any, seed: int, stop: Sequence[str]) -> Completion:
        return Completion(
            text=completion_text(sample.token_ids, self._tokenizer, self._ends, stop),
            token_ids=tuple(sample.token_ids),
            sampler_logprobs=tuple(sample.logprobs.logprobs),  # one a token, since logprobs=0
            finish_reason=sample.finish_reason,
            policy_version=self._version,
            adapter_hash=self._adapter_hash,
            seed=seed + sample.index,
        )


def _sampling_params(sampling: Sampling, seed: int, ends: Collection[int]) -> SamplingParams:
    return SamplingParams(
        n=sampling.group_size,
        seed=seed,  # vLLM gives sample i of a request its seed + i
        temperature=sampling.temperature,
        max_tokens=sampling.max_tokens,
        stop_token_ids=sorted(ends),
        stop=list(sampling.stop),
        logit_bias=dict.fromkeys(sampling.banned_ids, -math.inf) or None,
        logprobs=0,
        flat_logprobs=True,  # numbers in a list, in place of an object a token
        detokenize=bool(sampling.stop),  # stop strings are found in text
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _reported_routes(sample: CompletionOutput, num_prompt: int, num_experts: int) -> Routes:
    """What vLLM's own option says of a sample: a row for each token of prompt and completion but the last."""
    if sample.routed_experts is None:
        raise RunError(
            "vLLM reports no experts of what it sampled, though it was asked to; set engine.return_routed_experts=false"
        )
    return Routes.pack(sample.routed_experts[: num_prompt + len(sample.token_ids) - 1], num_experts)
