"""A policy behind an OpenAI-compatible endpoint, such as a vLLM server. It samples; the adapter is the server's."""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Lock
from typing import Any

from openai import APIStatusError, BadRequestError, UnprocessableEntityError

from doubleback.rewards.types import MAX_SHOWN, ConfigError, Problem, RunError
from doubleback.rl.engines.endpoint.answers import completions_of
from doubleback.rl.engines.endpoint.connection import CONCURRENCY, FAILURES, TRIES, connected, words_of
from doubleback.rl.engines.engine import Load, OnGroup
from doubleback.rl.types import Group, Sampling

VLLM = "vllm"
"""Who owns a model, as a vLLM server lists it."""
LOST_WITHOUT = {
    "return_token_ids": "token ids: how many tokens a completion has is not known",
    "seed": "seeds: other samples come of the same command",
}
"""Fields that a request can do without -> what cannot be had then."""
SWITCH = "chat_template_kwargs"
"""The field by which vLLM's server takes options for its chat template: a mode of thinking."""
NO_RIGHT = (401, 403)
Conversation = Sequence[Mapping[str, str]]


class EndpointEngine:
    """A `rl.engines.engine.Sampler`. Problems that have a conversation go to the chat endpoint, others as text.

    `template_options` are given to the chat template of a server that says that it is vLLM; ConfigError for another. A
    field that a server refuses by its name, and that can be done without, is left out from then on. A request that
    failed is tried again. `say` is told of both in a line each; RunError names a problem whose request failed every
    time. The key is that of `rl.engines.endpoint.keys`.
    """

    def __init__(
        self,
        url: str,
        model: str,
        conversations: Mapping[str, Conversation],
        template_options: Mapping[str, Any],
        say: Callable[[str], None],
        key_variable: str | None = None,
    ) -> None:
        self._model, self._conversations, self._options = model, conversations, dict(template_options)
        self._say = say
        self._num_asked, self._group_size = 0, 1
        self._done: list[tuple[int, int]] = []
        """Completions and tokens of each request that was answered; 0 tokens where the server does not count them."""
        self._refused: set[str] = set()
        self._refusing = Lock()
        connection = connected(url, key_variable)
        self._client, self._headers = connection.client, connection.headers
        served = self._served(url)
        if model not in served:
            raise ConfigError(f"--endpoint {url} does not serve {model!r}; it serves {_few(served)}")
        if served[model] != VLLM:
            if self._options and conversations:
                raise ConfigError(
                    f"--endpoint {url} does not say that it is vLLM, which alone is told a mode of thinking "
                    f"({SWITCH}); leave --thinking out, and set the mode on the server"
                )
            self._refuse("return_token_ids", "only vLLM knows it, and this server does not say that it is one")

    def _served(self, url: str) -> dict[str, str | None]:
        """Model -> who owns it, as the server lists them."""
        try:
            listed = getattr(self._client.models.list(extra_headers=self._headers), "data", None)
        except FAILURES as error:
            way_out = "give the address that ends in /v1"
            if isinstance(error, APIStatusError) and error.status_code in NO_RIGHT:
                way_out = "name the variable that holds its key: --api-key-env NAME"
            raise ConfigError(f"--endpoint {url} does not answer: {words_of(error)}; {way_out}") from error
        if not isinstance(listed, list):
            raise ConfigError(f"--endpoint {url} lists no models; give the address that ends in /v1")
        return {str(getattr(item, "id", None)): getattr(item, "owned_by", None) for item in listed}

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
        """The group of a problem, asked for until it is answered, TRIES times at most."""
        for attempt in range(1, TRIES + 1):
            try:
                answer = self._answer(problem, sampling, seed)
                completions = completions_of(answer, sampling.group_size, seed)
                break
            except FAILURES as error:
                reason = words_of(error)
                if isinstance(error, APIStatusError) and error.status_code in NO_RIGHT:
                    raise ConfigError(f"problem {problem.id}: the endpoint refuses the key: {reason}") from error
                if attempt == TRIES:
                    raise RunError(
                        f"problem {problem.id}: the endpoint failed {TRIES} times, at last with {reason}; what is "
                        f"finished is kept: run the same command again to go on"
                    ) from error
                self._say(f"retry: problem {problem.id}: {reason}; try {attempt + 1} of {TRIES}")
                time.sleep(2.0 ** (attempt - 1))
        num_tokens = getattr(getattr(answer, "usage", None), "completion_tokens", None)
        self._done.append((sampling.group_size, num_tokens if isinstance(num_tokens, int) else 0))
        return Group(problem, (), completions)

    def _answer(self, problem: Problem, sampling: Sampling, seed: int) -> Any:
        """The server's answer, once it takes the fields of the request. ConfigError where it refuses another one."""
        while True:
            fields = self._fields(sampling, seed)
            try:
                return self._request(problem, fields)
            except (BadRequestError, UnprocessableEntityError) as error:
                # One that another request has meanwhile found to be refused is out of the next try by itself.
                named = [name for name in LOST_WITHOUT if name in fields and re.search(rf"\b{name}\b", str(error))]
                if not named:
                    hint = self._hint(str(error))
                    raise ConfigError(
                        f"problem {problem.id}: the endpoint refuses it: {words_of(error, 300)}{hint}"
                    ) from error
                for name in named:
                    self._refuse(name, "the endpoint refuses it")

    def _refuse(self, name: str, why: str) -> None:
        """Ask without a field from now on, and say once what cannot be had."""
        with self._refusing:
            is_new = name not in self._refused
            self._refused.add(name)
        if is_new:
            self._say(f"asking without {name} ({why}), so that there are no {LOST_WITHOUT[name]}")

    def _hint(self, refusal: str) -> str:
        if self._options and SWITCH in refusal:
            return "; by that field a mode of thinking is set: leave --thinking out, or set it on the server"
        return ""

    def _fields(self, sampling: Sampling, seed: int) -> dict[str, Any]:
        """What is asked, but for the prompt; the fields that only some servers know among them."""
        fields: dict[str, Any] = {
            "model": self._model,
            "n": sampling.group_size,
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "seed": seed % 2**31,  # some servers take no more
            "return_token_ids": True,
        }
        if sampling.stop:
            fields["stop"] = list(sampling.stop)
        return {name: value for name, value in fields.items() if name not in self._refused}

    def _request(self, problem: Problem, fields: Mapping[str, Any]) -> Any:
        known = {name: value for name, value in fields.items() if name != "return_token_ids"}
        extra = {name: value for name, value in fields.items() if name not in known}
        known |= {"extra_headers": self._headers, "extra_body": extra}
        conversation = self._conversations.get(problem.id)
        if conversation is None:
            return self._client.completions.create(prompt=problem.prompt, **known)
        if self._options:
            extra[SWITCH] = self._options
        return self._client.chat.completions.create(messages=conversation, **known)


def _few(names: Iterable[str], most: int = 20) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - most:,} more" if len(listed) > most else ""
    return f"{', '.join(name[:MAX_SHOWN] for name in listed[:most])}{more}"
