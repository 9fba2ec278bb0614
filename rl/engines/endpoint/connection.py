"""The connection to an OpenAI-compatible endpoint that all who ask one share."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from openai import DefaultHttpxClient, OpenAI, OpenAIError

from doubleback.rl.engines.endpoint.answers import MalformedError
from doubleback.rl.engines.endpoint.keys import headers_for, is_loopback, key_for

CONCURRENCY = 32
"""Requests that are under way at the same time."""
TRIES = 5
"""Of one request."""
TIMEOUT_SECONDS = 1800.0
"""For one request."""
FAILURES = (OpenAIError, MalformedError, ValueError, RecursionError)
"""What a request may raise that a server has failed; the last two of what is no JSON, or has no end of brackets."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A client, and what each of its requests says besides."""

    client: OpenAI
    headers: Mapping[str, Any]


def connected(url: str, key_variable: str | None) -> Connection:
    """The connection to `url`, with the key that it may have (`rl.engines.endpoint.keys`). Nothing is asked yet.

    No redirection is followed: it would take the questions to a server that nobody named. What goes over plain http,
    to this machine that is, passes no proxy of the environment, which could read it.
    """
    key = key_for(url, key_variable, os.environ)
    plain = urlsplit(url).scheme.lower() == "http" and is_loopback(urlsplit(url).hostname or "")
    http = DefaultHttpxClient(follow_redirects=False, trust_env=not plain, timeout=TIMEOUT_SECONDS)
    settings = {"api_key": key or "", "admin_api_key": "", "max_retries": 0, "timeout": TIMEOUT_SECONDS}
    client = OpenAI(base_url=url, http_client=http, **settings)
    return Connection(client, headers_for(url, key, os.environ))


def words_of(error: Exception, most: int = 200) -> str:
    """What an error says, in one line of at most so many characters."""
    return " ".join(str(error).split())[:most]
