"""Which key an endpoint gets: OpenAI's goes to OpenAI alone, another by its name, and none where it could be read."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from openai import Omit

from doubleback.rewards.types import ConfigError

OPENAI_KEY = "OPENAI_API_KEY"
OPENAI_HOST = "api.openai.com"
"""And what is below it, as eu.api.openai.com."""
OF_ACCOUNT = ("OpenAI-Organization", "OpenAI-Project")
"""Headers that the client makes of OPENAI_ORG_ID and OPENAI_PROJECT_ID."""
CUSTOM_HEADERS = "OPENAI_CUSTOM_HEADERS"


def key_for(url: str, variable: str | None, environment: Mapping[str, str]) -> str | None:
    """The key that the server at `url` gets; None for none.

    `variable` names the one of the environment that holds it; where none is named, OpenAI's own host gets OpenAI's key.
    ConfigError where it is not set, or would go over plain http to another machine.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    is_secret = parts.scheme == "https" or is_loopback(host)
    if variable is None:
        return environment.get(OPENAI_KEY) if _is_openai(host) and is_secret else None
    if not environment.get(variable):
        raise ConfigError(f"--api-key-env {variable}: the environment has no such variable, or it is empty")
    if not is_secret:
        raise ConfigError(
            f"--endpoint {url} is plain http, on which anybody between can read the key of --api-key-env {variable}; "
            "take https, or a server on this machine"
        )
    return environment[variable]


def headers_for(url: str, key: str | None, environment: Mapping[str, str]) -> dict[str, Any]:
    """What each request is told to leave out: another host than OpenAI's gets nothing of an account at OpenAI.

    By itself OpenAI's client sends organisation, project and headers of the environment to whatever host.
    """
    names = [] if key else ["Authorization"]
    if not _is_openai((urlsplit(url).hostname or "").lower()):
        own = [line.partition(":")[0].strip() for line in environment.get(CUSTOM_HEADERS, "").splitlines()]
        names += [*OF_ACCOUNT, *filter(None, own)]
    return {name: Omit() for name in names}


def _is_openai(host: str) -> bool:
    return host == OPENAI_HOST or host.endswith(f".{OPENAI_HOST}")


def is_loopback(host: str) -> bool:
    """Whether the name or address is this machine's own for certain."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return False
