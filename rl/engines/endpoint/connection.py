"""The connection to an OpenAI-compatible endpoint that all who ask one share."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openai import OpenAI

from doubleback.rl.engines.endpoint.keys import headers_for, key_for

CONCURRENCY = 32
"""Requests that are under way at the same time."""
TRIES = 5
"""Of one request."""
TIMEOUT_SECONDS = 1800.0
"""For one request."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A client, and what each of its requests says besides."""

    client: OpenAI
    headers: Mapping[str, Any]


def connected(url: str, key_variable: str | None) -> Connection:
    """The connection to `url`, with the key that it may have (`rl.engines.endpoint.keys`). Nothing is asked yet."""
    key = key_for(url, key_variable, os.environ)
    client = OpenAI(base_url=url, api_key=key or "", admin_api_key="", max_retries=0, timeout=TIMEOUT_SECONDS)
    return Connection(client, headers_for(url, key, os.environ))


def words_of(error: Exception, most: int = 200) -> str:
    """What an error says, in one line of at most so many characters."""
    return " ".join(str(error).split())[:most]
