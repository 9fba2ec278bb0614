"""A teacher behind a vLLM server: what it says of given ids (`prompt_logprobs` of its completions)."""

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from openai import APIStatusError

from doubleback.rewards.types import ConfigError, RunError
from doubleback.rl.engines.endpoint.answers import MalformedError
from doubleback.rl.engines.endpoint.connection import CONCURRENCY, FAILURES, TRIES, connected, words_of
from doubleback.rl.types import TokenSequence

FIELD = "prompt_logprobs"
"""What of vLLM's server asks for the log-probability of each token of a prompt, at temperature 1."""
ROUNDING = 1e-3
"""What a log-probability may exceed 0 by."""


class EndpointScorer:
    """Called with sequences: the server's log-probabilities of their completion ids, in nats.

    A request that failed is tried again, which `say` is told of. RunError where one failed every time or its answer
    lacks a token; ConfigError where the server is none that can do it. The key is that of `rl.engines.endpoint.keys`.
    """

    def __init__(
        self, url: str, model: str, say: Callable[[str], None], key_variable: str | None = None, pause: float = 1.0
    ) -> None:
        """`pause`: seconds before the second try; each further one waits twice as long."""
        self._url, self._model, self._say, self._pause = url, model, say, pause
        connection = connected(url, key_variable)
        self._client, self._headers = connection.client, connection.headers

    def __call__(self, sequences: Sequence[TokenSequence]) -> list[tuple[float, ...]]:
        """In the order of the sequences, one number for each completion id."""
        with ThreadPoolExecutor(CONCURRENCY) as executor:
            futures = [executor.submit(self._score, *sequence) for sequence in sequences]
            try:
                return [future.result() for future in futures]
            except (ConfigError, RunError):
                executor.shutdown(wait=False, cancel_futures=True)
                raise

    def require_tokenizer(self, tokenizer: Any, text: str, way_out: str) -> None:
        """ConfigError unless the server makes the same ids of `text`."""
        root = self._url.rstrip("/").removesuffix("/v1")
        asked = {"model": self._model, "prompt": text, "add_special_tokens": False}
        try:
            client = self._client.with_options(base_url=root)
            answer = client.post("/tokenize", body=asked, cast_to=object, options={"headers": self._headers})
        except FAILURES as error:
            raise ConfigError(
                f"distil.teacher={self._url} does not say how it reads a text (/tokenize): {words_of(error)}; "
                "serve the teacher with vLLM, and give the address that ends in /v1"
            ) from error
        there = answer.get("tokens") if isinstance(answer, dict) else None
        here = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        if there != here:
            raise ConfigError(
                f"distil.teacher={self._url} has another tokenizer: it reads {text[:40]!r} as {there}, the student as "
                f"{here}; {way_out}"
            )

    def close(self) -> None:
        """Drop the connections."""
        self._client.close()

    def _score(self, prompt_ids: tuple[int, ...], completion_ids: tuple[int, ...]) -> tuple[float, ...]:
        """One sequence, asked for until it is answered, TRIES times at most."""
        for attempt in range(1, TRIES + 1):
            try:
                return logprobs_of(self._answer([*prompt_ids, *completion_ids]), completion_ids)
            except APIStatusError as error:
                if error.status_code < 500 and error.status_code != 429:
                    raise ConfigError(
                        f"distil.teacher={self._url} refuses to score tokens ({FIELD}): {words_of(error)}; serve "
                        f"{self._model} with vLLM, or name the variable that holds its key: distil.api_key_env=NAME"
                    ) from error
                reason = words_of(error)
            except FAILURES as error:
                reason = words_of(error)
            if attempt < TRIES:
                self._say(f"retry: distil.teacher={self._url}: {reason}; try {attempt + 1} of {TRIES}")
                time.sleep(self._pause * 2.0 ** (attempt - 1))
        raise RunError(f"distil.teacher={self._url} failed {TRIES} times, at last with {reason}; resume when it serves")

    def _answer(self, ids: list[int]) -> Any:
        # A server must draw something: one token, that nobody reads.
        return self._client.completions.create(
            model=self._model,
            prompt=ids,
            max_tokens=1,
            temperature=0.0,
            extra_headers=self._headers,
            extra_body={FIELD: 0},
        )


def logprobs_of(answer: Any, completion_ids: Sequence[int]) -> tuple[float, ...]:
    """The log-probabilities of the last ids of an answer's prompt.

    For the prompt 1 8 with the completion 5, vLLM answers [null, {"8": {"logprob": -1.5, ...}}, {"5": {"logprob":
    -0.25, "rank": 1, "decoded_token": "+"}}], which is (-0.25,). MalformedError where that of a token is missing.
    """
    choices = getattr(answer, "choices", None)
    listed = getattr(choices[0], FIELD, None) if isinstance(choices, list) and choices else None
    if not isinstance(listed, list) or len(listed) <= len(completion_ids):
        raise MalformedError(f"its answer has no {FIELD} for every token")
    values = []
    for index, entry in zip(completion_ids, listed[-len(completion_ids) :], strict=True):
        said = entry.get(str(index)) if isinstance(entry, dict) else None
        value = said.get("logprob") if isinstance(said, dict) else None
        # NaN and infinity, which Python's JSON reads, are none either; above 0 by more than rounding nothing is.
        if not isinstance(value, int | float) or isinstance(value, bool) or not -math.inf < value <= ROUNDING:
            raise MalformedError(f"its {FIELD} have no log-probability for token {index}")
        values.append(float(value))
    return tuple(values)
