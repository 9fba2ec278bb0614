"""Something that lives elsewhere: an object in a process of its own, on this machine or on another of the cluster.

Whoever calls it knows this protocol alone. It has no state that could not be made again: where it dies, the same call
is made of another. Importing this loads no torch, and no ray.
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from doubleback.rewards.types import ConfigError, RunError

OnPart = Callable[[Any], None]
"""Called with each part of an answer, in order, before the answer itself."""
PASSED_ON = (ConfigError, RunError, ValueError, RuntimeError)
"""What is raised here as it was there; anything else that an object raises ends its process."""
_BY_NAME = {error.__name__: error for error in PASSED_ON}


class DeadRemoteError(RunError):
    """It is gone, with all it held. What it was asked for may be asked of another."""


class Remote(Protocol):
    """An object elsewhere, made by a function of some module; see `rl.remote.process` and `rl.remote.cluster`.

    Every future ends: with the answer, with what the object raised (of PASSED_ON), or with DeadRemoteError.
    """

    name: str
    """As messages call it, for example "engine 2"."""
    started: "Future[None]"
    """Done once the object is there; what kept it from being made is its exception."""

    @property
    def node(self) -> str:
        """The machine on which it runs, as messages call it. Known once it has started."""

    def call(self, method: str, *arguments: Any, on_part: OnPart | None = None) -> "Future[Any]":
        """The object's `method(*arguments)`, when the calls before it are done.

        With `on_part` the method gets one argument more: a function that hands over a part of the answer. Parts and
        the end of the future come from a thread of the remote's own, which must not be kept waiting.
        """

    def beside(self, method: str, *arguments: Any) -> "Future[Any]":
        """The same at once, while a call goes on, in another thread there."""

    def processor_seconds(self) -> float:
        """What its process has computed since it began, as far as is known here. What stands still hangs, or waits."""

    def close(self) -> None:
        """End it: in order, the object's own `close()` included, where no call is under way; else as `kill` does."""

    def kill(self) -> None:
        """End it, whatever it does, and return at once."""


def as_told(error: Exception) -> tuple[str, str]:
    """An error of PASSED_ON, as it travels: the name of its kind, and its text."""
    kind = next(kind for kind in type(error).__mro__ if kind.__name__ in _BY_NAME)
    return kind.__name__, str(error)


def as_raised(told: tuple[str, str]) -> Exception:
    """The error that `as_told` told of."""
    name, text = told
    return _BY_NAME[name](text)
