"""The reward functions that come with doubleback, by name. They run in the host; `math` asks a worker where it must."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from doubleback.rewards.builtin.countdown import countdown_correct
from doubleback.rewards.builtin.format import answer_only, boxed_format, reasoning_off, think_answer_format
from doubleback.rewards.builtin.knights import knights_correct
from doubleback.rewards.builtin.language import LanguageConsistency
from doubleback.rewards.builtin.math import MathCorrect
from doubleback.rewards.builtin.overlong import SoftOverlong
from doubleback.rewards.builtin.random import random_reward
from doubleback.rewards.builtin.repetition import Repetition
from doubleback.rewards.contract.lookup import prepare

BUILTIN: dict[str, Any] = {
    "math": MathCorrect,
    "countdown": countdown_correct,
    "knights": knights_correct,
    "format": think_answer_format,
    "boxed_format": boxed_format,
    "answer_only": answer_only,
    "overlong": SoftOverlong,
    "repetition": Repetition,
    "language": LanguageConsistency,
    "reasoning_off": reasoning_off,
    "random": random_reward,
}
"""Name -> reward function, or class that makes one."""
JUDGES = frozenset({"math", "countdown", "knights"})
"""Those that tell right from wrong, and not only good from bad form."""


def make_builtin(name: str, arguments: Mapping[str, Any], max_tokens: int | None, key: str) -> Callable[..., Any]:
    """The built-in function with its arguments; one that takes `max_tokens` gets the recipe's unless told otherwise."""
    found = BUILTIN[name]
    takes_limit = inspect.isclass(found) and "max_tokens" in inspect.signature(found).parameters
    if takes_limit and max_tokens is not None:
        arguments = {"max_tokens": max_tokens, **arguments}
    return prepare(found, arguments, key)
