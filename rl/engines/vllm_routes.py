"""The experts that vLLM chose, per request: through its router capture on a CPU, its own option on CUDA."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from vllm import LLM
from vllm.model_executor.layers.fused_moe.layer import MoERunner
from vllm.model_executor.layers.fused_moe.router.base_router import BaseRouter

from doubleback.rl.types import Routes

Rows = list[tuple[int, NDArray[Any]]]
"""(first position, experts (n, L, K)) in the order in which they were computed."""


class RouteCapture:
    """Notes what every router chooses in every batch, and puts the rows of each request together.

    vLLM computes a prompt that several requests share once and keeps it; the others have no rows for what they took
    from that cache, and are given those of the request that computed it.
    """

    def __init__(self, llm: LLM, num_experts: int) -> None:
        self._num_experts = num_experts
        self._runner = llm.llm_engine.model_executor.driver_worker.worker.model_runner
        self._batch: list[torch.Tensor] = []
        self._rows: dict[str, Rows] = {}
        self._prompts: dict[int, NDArray[Any]] = {}
        for module in self._runner.get_model().modules():
            if isinstance(module, MoERunner) and isinstance(module.router, BaseRouter):
                module.router.set_capture_fn(self._capture)
        self._runner.execute_model = partial(self._execute, self._runner.execute_model)

    def start(self) -> None:
        """Forget all: nothing that is asked for later was computed before. The prefix cache must be empty too."""
        self._rows, self._prompts = {}, {}

    def take(self, row: int, index: int, token_ids: Sequence[int]) -> Routes | None:
        """The routes of sample `index` of request `row`, whose prompt and completion are `token_ids`.

        None for a model without experts. Rows that are missing are left out, so that the coverage check finds it.
        """
        rows = self._rows.pop(f"{index}_{row}", None) or self._rows.pop(str(row), [])
        if not rows:
            return None
        first, sample = rows[0]
        experts_NLK = np.full((len(token_ids) - 1, *sample.shape[1:]), -1, dtype=np.int16)
        for position, prefix in enumerate(_prefixes(token_ids[:first])):
            experts_NLK[position] = self._prompts.get(prefix, -1)
        for start, experts in rows:  # again from 0 where vLLM had to make room and computed a request anew
            experts_NLK[start : start + len(experts)] = experts
        return Routes.pack(experts_NLK[experts_NLK[:, 0, 0] >= 0], self._num_experts)

    def _capture(self, ids: torch.Tensor) -> None:
        self._batch.append(ids)

    def _execute(self, execute: Any, scheduler_output: Any, *args: Any, **kwargs: Any) -> Any:
        self._batch = []
        result = execute(scheduler_output, *args, **kwargs)
        if self._batch:
            experts_NLK = torch.stack(self._batch, dim=1).to(torch.int16).numpy()
            first_row = 0
            for request in self._runner.input_batch.req_ids:
                count = scheduler_output.num_scheduled_tokens[request]
                self._note(request, experts_NLK[first_row : first_row + count])
                first_row += count
        return result

    def _note(self, request: str, experts: NDArray[Any]) -> None:
        state = self._runner.requests[request]
        start = state.num_computed_tokens
        self._rows.setdefault(request.rpartition("-")[0], []).append((start, experts))  # vLLM adds -RANDOM to our name
        if start < len(state.prompt_token_ids):
            prefixes = list(_prefixes(state.prompt_token_ids))[start:]
            self._prompts.update(zip(prefixes, experts, strict=False))


def _prefixes(token_ids: Sequence[int]) -> Iterator[int]:
    """A number for each beginning of the sequence: the same for the same beginning."""
    prefix = 0
    for token in token_ids:
        prefix = hash((prefix, token))
        yield prefix
