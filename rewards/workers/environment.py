"""What of the host's environment a worker sees: no secret that the recipe does not name."""

import re
from collections.abc import Collection, Mapping

_SECRET = re.compile(
    r"TOKEN|SECRET|PASSW|CREDENTIAL|AUTH|COOKIE|SESSION|(?:API|ACCESS|PRIVATE|SSH|SIGNING|ENCRYPTION)_?KEY|_KEY$|DSN|WEBHOOK"
)
_NOT_SECRET = re.compile(r"TOKENIZERS_|_TOKENS?_PER_|^(?:XDG|DBUS|DESKTOP)_SESSION|^XDG_")
"""Settings that are called like secrets."""


def is_secret(name: str) -> bool:
    """Whether a variable is called like a secret: HF_TOKEN, AWS_SECRET_ACCESS_KEY, WANDB_API_KEY, DATABASE_PASSWORD."""
    upper = name.upper()
    return _SECRET.search(upper) is not None and _NOT_SECRET.search(upper) is None


def visible_environment(environment: Mapping[str, str], named: Collection[str] = ()) -> dict[str, str]:
    """The variables that a worker gets: all that are not called like a secret, and those that the recipe names.

    A reward is a stranger's code that reads what a model wrote; what it prints or sends must not hold a key.
    """
    return {name: value for name, value in environment.items() if name in named or not is_secret(name)}
