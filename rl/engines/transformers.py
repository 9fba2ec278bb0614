"""The reference engine: a plain sampling loop over a transformers model. Slow, short, and easy to trust."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from doubleback.rewards.types import Completion, Problem
from doubleback.rl.engines.engine import NO_ADAPTER, Load, OnGroup, completion_text, encode_prompts
from doubleback.rl.engines.setup import EngineSetup
from doubleback.rl.policy.base import DTYPES, end_ids, load_configuration
from doubleback.rl.policy.logprobs import head_in_float32, token_logprobs
from doubleback.rl.policy.lora import Adapter
from doubleback.rl.policy.merging import merged
from doubleback.rl.policy.routing import Routers
from doubleback.rl.types import Group, Routes, Sampling, TokenSequence


class TransformersEngine:
    """See `rl.engines.engine.Engine`. Serves merged weights in a model of its own, as vLLM does."""

    def __init__(self, setup: EngineSetup, base: Mapping[str, Tensor], tokenizer: PreTrainedTokenizerBase) -> None:
        self._max_num_seqs, self._max_length = setup.max_num_seqs, setup.model.max_length
        self._tokenizer, self._base = tokenizer, base
        self._ends = end_ids(setup.model.path, tokenizer)
        self._version, self._adapter_hash = 0, NO_ADAPTER
        self._num_running = self._num_waiting = self._num_done = self._num_tokens = self._num_done_tokens = 0
        settings = load_configuration(setup.model.path)
        self._served = AutoModelForCausalLM.from_config(settings, dtype=DTYPES[setup.model.dtype]).eval()
        self._served.load_state_dict(dict(base))
        self.head_dtype = setup.model.head_dtype
        if self.head_dtype != setup.model.dtype:
            head_in_float32(self._served)
        self._routers = Routers(self._served)
        self._reports_routes = setup.returns_routes and self._routers.num_layers > 0

    def load_adapter(self, adapter: Adapter, version: int) -> None:
        """Serve `adapter` from now on, as `rl.engines.engine.Engine` says."""
        if adapter.hash != self._adapter_hash:
            self._served.load_state_dict({**self._base, **merged(self._base, adapter)})
        self._version, self._adapter_hash = version, adapter.hash

    def sample(
        self,
        problems: Sequence[Problem],
        sampling: Sampling,
        seeds: Sequence[int],
        on_group: OnGroup | None = None,
    ) -> list[Group]:
        """A group for each problem, as `rl.engines.engine.Sampler` says."""
        prompts = encode_prompts(problems, self._tokenizer, sampling.max_tokens, self._max_length)
        requests = [
            (ids, seed + index)
            for ids, seed in zip(prompts, seeds, strict=True)
            for index in range(sampling.group_size)
        ]
        completions: list[Completion] = []
        routes: list[Routes | None] = []
        groups: list[Group] = []
        self._num_waiting = len(requests)
        for start in range(0, len(requests), self._max_num_seqs):
            made, routed = self._generate(requests[start : start + self._max_num_seqs], sampling)
            completions, routes = completions + made, routes + routed
            for index in range(len(groups), len(completions) // sampling.group_size):
                rows = slice(index * sampling.group_size, (index + 1) * sampling.group_size)
                group = Group(problems[index], prompts[index], tuple(completions[rows]), routes=tuple(routes[rows]))
                groups.append(group)
                if on_group is not None:
                    on_group(index, group)
        return groups

    def load(self) -> Load:
        """How the engine stands, as `rl.engines.engine.Watched` says."""
        return Load(self._num_running, self._num_waiting, self._num_done, self._num_tokens, self._num_done_tokens)

    @torch.no_grad()
    def score(self, sequences: Sequence[TokenSequence]) -> list[tuple[float, ...]]:
        """Log-probabilities of given completions, as `rl.engines.engine.Engine` says."""
        scores = []
        for prompt, completion in sequences:
            logits_TV = self._served(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
            logprobs_T, _ = token_logprobs(logits_TV, torch.tensor(completion), temperature=1.0)
            scores.append(tuple(logprobs_T.tolist()))
        return scores

    def close(self) -> None:
        """Free what the engine holds."""
        del self._served

    @torch.no_grad()
    def _generate(
        self, requests: Sequence[tuple[tuple[int, ...], int]], sampling: Sampling
    ) -> tuple[list[Completion], list[Routes | None]]:
        """One batch, left-padded, sampled token by token until every row has ended."""
        width = max(len(ids) for ids, _ in requests)
        pad = self._tokenizer.pad_token_id
        step_BT = torch.tensor([[pad] * (width - len(ids)) + list(ids) for ids, _ in requests])
        mask_BT = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids, _ in requests])
        generators = [torch.Generator().manual_seed(seed) for _, seed in requests]
        tokens: list[list[int]] = [[] for _ in requests]
        logprobs: list[list[float]] = [[] for _ in requests]
        routes: list[list[Tensor]] = [[] for _ in requests]
        is_open = [True] * len(requests)
        self._num_running, self._num_waiting = len(requests), self._num_waiting - len(requests)
        cache, positions_BT = None, (mask_BT.cumsum(1) - 1).clamp(min=0)
        for _ in range(sampling.max_tokens):
            output = self._served(
                step_BT, attention_mask=mask_BT, position_ids=positions_BT, past_key_values=cache, use_cache=True
            )
            cache = output.past_key_values
            self._note_routes(routes, is_open, mask_BT[:, -step_BT.shape[1] :])
            logits_BV = output.logits[:, -1].float()
            logits_BV[:, list(sampling.banned_ids)] = -math.inf
            # Temperature 0 takes the likeliest token, with its log-probability at temperature 1, as vLLM does.
            logprobs_BV = torch.log_softmax(logits_BV / (sampling.temperature or 1.0), dim=-1)
            chosen = [
                int(torch.multinomial(row.exp(), 1, generator=generator) if sampling.temperature else row.argmax())
                for row, generator in zip(logprobs_BV, generators, strict=True)
            ]
            for row, token in enumerate(chosen):
                if is_open[row]:
                    tokens[row].append(token)
                    logprobs[row].append(float(logprobs_BV[row, token]))
                    is_open[row] = self._goes_on(tokens[row], sampling.stop)
                    self._num_tokens += 1
                    if not is_open[row] or len(tokens[row]) == sampling.max_tokens:
                        self._num_running, self._num_done = self._num_running - 1, self._num_done + 1
                        self._num_done_tokens += len(tokens[row])
            if not any(is_open):
                break
            step_BT, positions_BT = torch.tensor(chosen).unsqueeze(1), positions_BT[:, -1:] + 1
            mask_BT = torch.cat([mask_BT, torch.ones_like(step_BT)], dim=1)
        completions = [
            Completion(
                text=completion_text(ids, self._tokenizer, self._ends, sampling.stop),
                token_ids=tuple(ids),
                sampler_logprobs=tuple(values),
                finish_reason="length" if goes_on else "stop",
                policy_version=self._version,
                adapter_hash=self._adapter_hash,
                seed=seed,
            )
            for ids, values, goes_on, (_, seed) in zip(tokens, logprobs, is_open, requests, strict=True)
        ]
        num_experts = self._routers.num_experts
        return completions, [Routes.pack(torch.cat(rows).numpy(), num_experts) if rows else None for rows in routes]

    def _note_routes(self, routes: list[list[Tensor]], is_open: Sequence[bool], mask_BT: Tensor) -> None:
        """Add what the last forward pass chose for the tokens of each sequence that goes on."""
        if not self._reports_routes:
            return
        chosen_BTLK = self._routers.chosen().view(*mask_BT.shape, self._routers.num_layers, -1)
        for rows, goes_on, chosen_TLK, mask_T in zip(routes, is_open, chosen_BTLK, mask_BT, strict=True):
            if goes_on:
                rows.append(chosen_TLK[mask_T > 0])

    def _goes_on(self, token_ids: Sequence[int], stop: Sequence[str]) -> bool:
        if token_ids[-1] in self._ends:
            return False
        return not stop or not any(string in self._tokenizer.decode(token_ids) for string in stop)
