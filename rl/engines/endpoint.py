"""A policy behind an OpenAI-compatible endpoint, such as a vLLM server. It samples; the adapter is the server's."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from openai import BadRequestError, OpenAI, OpenAIError

from doubleback.rewards.types import Completion, ConfigError, Problem, RunError
from doubleback.rl.engines.engine import Load, OnGroup
from doubleback.rl.types import Group, Sampling

CONCURRENCY = 32
"""Requests that are under way at the same time."""
TRIES = 5
"""Of one request."""
TIMEOUT_SECONDS = 1800.0
"""For one request."""
Conversation = Sequence[Mapping[str, str]]


class EndpointEngine:
    """A `rl.engines.engine.Sampler`. Problems that have a conversation go to the chat endpoint, others as text.

    `template_options` are given to the server's chat template. A failed request is tried again, and `on_retry` is told
    which and why; RunError names a problem whose request failed every time. The key is OPENAI_API_KEY's.
    """

    def __init__(
        self,
        url: str,
        model: str,
        conversations: Mapping[str, Conversation],
        template_options: Mapping[str, Any],
        on_retry: Callable[[str], None],
    ) -> None:
        self._model, self._conversations, self._options = model, conversations, dict(template_options)
        self._on_retry = on_retry
        self._num_asked, self._group_size = 0, 1
        self._done: list[tuple[int, int]] = []
        """Completions and tokens of each request that was answered; 0 tokens where the server does not count them."""
        key = os.environ.get("OPENAI_API_KEY", "none")
        self._client = OpenAI(base_url=url, api_key=key, max_retries=0, timeout=TIMEOUT_SECONDS)
        try:
            served = [item.id for item in self._client.models.list()]
        except OpenAIError as error:
            raise ConfigError(
                f"--endpoint {url} does not answer: {error}; give the address that ends in /v1"
            ) from error
        if model not in served:
            raise ConfigError(f"--endpoint {url} does not serve {model!r}; it serves {', '.join(served)}")

    def sample(
        self,
        problems: Sequence[Problem],
        sampling: Sampling,
        seeds: Sequence[int],
        on_group: OnGroup | None = None,
    ) -> list[Group]:
        """One group per problem, in order. The server draws sample i of a problem with the seed + i, if it can."""
        groups: dict[int, Group] = {}
        self._num_asked, self._group_size = self._num_asked + len(problems), sampling.group_size
        with ThreadPoolExecutor(CONCURRENCY) as executor:
            asked = {
                executor.submit(self._ask, problem, sampling, seed): row
                for row, (problem, seed) in enumerate(zip(problems, seeds, strict=True))
            }
            try:
                for future in as_completed(asked):
                    row = asked[future]
                    groups[row] = future.result()
                    if on_group is not None:
                        on_group(row, groups[row])
            except (ConfigError, RunError):
                executor.shutdown(wait=False, cancel_futures=True)
                raise
        return [groups[row] for row in range(len(problems))]

    def load(self) -> Load:
        """How it stands, as `rl.engines.engine.Watched` says; what the server has begun it does not tell."""
        done = list(self._done)
        num_done, num_tokens = sum(size for size, _ in done), sum(tokens for _, tokens in done)
        num_left = self._num_asked - len(done)
        num_running = min(num_left, CONCURRENCY)
        size = self._group_size
        return Load(num_running * size, (num_left - num_running) * size, num_done, num_tokens, num_tokens)

    def close(self) -> None:
        """Drop the connections."""
        self._client.close()

    def _ask(self, problem: Problem, sampling: Sampling, seed: int) -> Group:
        for attempt in range(1, TRIES + 1):
            try:
                answer = self._request(problem, sampling, seed)
                break
            except BadRequestError as error:
                reason = " ".join(str(error).split())[:300]
                raise ConfigError(f"problem {problem.id}: the endpoint refuses it: {reason}") from error
            except OpenAIError as error:
                reason = " ".join(str(error).split())[:200]
                if attempt == TRIES:
                    raise RunError(
                        f"problem {problem.id}: the endpoint failed {TRIES} times, at last with {reason}; what is "
                        f"finished is kept: run the same command again to go on"
                    ) from error
                self._on_retry(f"problem {problem.id}: {reason}; try {attempt + 1} of {TRIES}")
                time.sleep(2.0 ** (attempt - 1))
        if len(answer.choices) != sampling.group_size:
            raise RunError(f"problem {problem.id}: {len(answer.choices)} completions instead of {sampling.group_size}")
        self._done.append((sampling.group_size, answer.usage.completion_tokens if answer.usage else 0))
        ordered = sorted(answer.choices, key=lambda choice: choice.index)
        return Group(problem, (), tuple(self._completion(choice, seed) for choice in ordered))

    def _request(self, problem: Problem, sampling: Sampling, seed: int) -> Any:
        common: dict[str, Any] = {
            "model": self._model,
            "n": sampling.group_size,
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "seed": seed % 2**31,  # some servers take no more
            "stop": list(sampling.stop) or None,
        }
        conversation = self._conversations.get(problem.id)
        if conversation is None:
            return self._client.completions.create(
                prompt=problem.prompt, extra_body={"return_token_ids": True}, **common
            )
        extra = {"return_token_ids": True, **({"chat_template_kwargs": self._options} if self._options else {})}
        return self._client.chat.completions.create(messages=conversation, extra_body=extra, **common)

    def _completion(self, choice: Any, seed: int) -> Completion:
        text = choice.text if hasattr(choice, "text") else _whole_message(choice.message)
        return Completion(
            text=text or "",
            token_ids=tuple(getattr(choice, "token_ids", None) or ()),
            sampler_logprobs=(),
            finish_reason=choice.finish_reason,
            policy_version=0,
            adapter_hash="endpoint",
            seed=seed + choice.index,
        )


def _whole_message(message: Any) -> str:
    """With the thinking that a server's reasoning parser has taken out: leakage is to be seen."""
    reasoning = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    return f"<think>{reasoning}</think>{message.content or ''}" if reasoning else message.content or ""
