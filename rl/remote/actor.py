"""An object in an actor of a Ray cluster: the near side and the far side. See `rl.remote.remote.Remote`.

This imports no ray: `rl.remote.cluster` does, and gives it to what is here.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from time import process_time
from typing import Any

from doubleback.rewards.types import first_line
from doubleback.rl.remote.remote import PASSED_ON, DeadRemoteError, OnPart, as_raised, as_told

PLACE_ATTEMPTS = 4
"""How often an actor is asked for that dies before it has begun."""


class ActorRemote:
    """An object in a Ray actor. See `rl.remote.remote.Remote`."""

    def __init__(
        self,
        name: str,
        cluster: tuple[Any, Callable[[], str]],
        spawn: Callable[[], Any],
        make: Callable[..., Any],
        arguments: Any,
    ) -> None:
        """`cluster`: Ray, and what tells in an actor on which node that is. `spawn` makes an actor of a `Host`."""
        ray, where = cluster
        self.name = name
        self.node = "no node yet"
        self.pid: int | None = None
        """The number of its process there, once it has started."""
        self._ray, self._spawn, self._actor = ray, spawn, spawn()
        self._given_up = ""
        """Why nothing is asked of it any more: Ray takes a moment to end an actor."""
        self._seconds, self._asked = 0.0, None
        self._calls = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._beside = ThreadPoolExecutor(4, thread_name_prefix=f"{name} beside")
        self.started: Future[None] = self._calls.submit(self._start, where, make, arguments)

    def call(self, method: str, *arguments: Any, on_part: OnPart | None = None) -> "Future[Any]":
        """The object's method, when the calls before it are done, as `rl.remote.remote.Remote` says."""
        return self._submit(self._calls, self._call, method, arguments, on_part)

    def beside(self, method: str, *arguments: Any) -> "Future[Any]":
        """The object's method at once, as `rl.remote.remote.Remote` says."""
        ask = self._actor.beside.options(concurrency_group="beside")
        return self._submit(self._beside, self._answer, ask, method, arguments)

    def processor_seconds(self) -> float:
        """What the process had computed when it last said so: one that says nothing stands still."""
        if self._asked is None:
            self._asked = self._actor.seconds.options(concurrency_group="beside").remote()
        elif self._ray.wait([self._asked], timeout=0)[0]:
            with suppress(self._ray.exceptions.RayError):  # it is gone, which its calls will tell
                self._seconds = self._ray.get(self._asked)
            self._asked = None
        return self._seconds

    def close(self) -> None:
        """End it: what it holds is the process's alone."""
        self.kill()

    def kill(self) -> None:
        """End the actor, whatever it does."""
        self._given_up = self._given_up or "it was ended from here"
        self._ray.kill(self._actor)
        self._calls.shutdown(wait=False, cancel_futures=False)
        self._beside.shutdown(wait=False, cancel_futures=False)

    def _submit(self, threads: ThreadPoolExecutor, ask: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        if not self._given_up:
            return threads.submit(ask, *arguments)
        given_up: Future[Any] = Future()
        given_up.set_exception(DeadRemoteError(self._given_up))
        return given_up

    def _start(self, where: Callable[[], str], make: Callable[..., Any], arguments: Sequence[Any]) -> None:
        with self._named():
            self.node, self.pid = self._placed(where)
            _value(self._ray.get(self._actor.make.remote(os.getcwd(), make, *arguments)))

    def _placed(self, where: Callable[[], str]) -> tuple[str, int]:
        """Where it is, once it is somewhere.

        Ray takes seconds to notice that a node has died, and until then sends others there, which never begin: they
        are asked for again.
        """
        errors = self._ray.exceptions
        for _ in range(PLACE_ATTEMPTS - 1):
            with suppress(errors.ActorDiedError, errors.ActorUnavailableError):
                node, pid = self._ray.get(self._actor.where.remote(where))
                return node, pid
            if self._given_up:
                break
            self._actor = self._spawn()
        if self._given_up:
            self._ray.kill(self._actor)
        node, pid = self._ray.get(self._actor.where.remote(where))
        return node, pid

    def _call(self, method: str, arguments: Sequence[Any], on_part: OnPart | None) -> Any:
        if on_part is None:
            return self._answer(self._actor.call, method, arguments)
        with self._named():
            for reference in self._actor.stream.remote(method, *arguments):
                kind, value = self._ray.get(reference)
                if kind != "part":
                    return _value((kind, value))
                on_part(value)
            raise DeadRemoteError("it ended its answer before the end")

    def _answer(self, ask: Any, method: str, arguments: Sequence[Any]) -> Any:
        with self._named():
            return _value(self._ray.get(ask.remote(method, *arguments)))

    @contextmanager
    def _named(self) -> Iterator[None]:
        """DeadRemoteError for whatever Ray has to say of an actor that does not answer."""
        errors = self._ray.exceptions
        if not self._ray.is_initialized():
            raise DeadRemoteError("its cluster was left")
        try:
            yield
        except errors.ActorUnavailableError:
            raise DeadRemoteError("its node does not answer") from None
        except errors.ActorDiedError as error:
            number = "" if self.pid is None else f" {self.pid}"
            raise DeadRemoteError(f"its process{number} has ended ({_cause(str(error))})") from None
        except errors.RayTaskError as error:
            self._given_up = f"it failed with {type(error.cause).__name__}: {first_line(error.cause)}"
            self.kill()
            raise DeadRemoteError(self._given_up) from error
        except errors.RayError as error:
            raise DeadRemoteError(f"{type(error).__name__}: {first_line(error)}") from None


class Host:
    """The actor: an object, and one thread in which all that is not `beside` happens, in order."""

    def __init__(self, threads: int) -> None:
        self._object: Any = None
        self._work = ThreadPoolExecutor(1, initializer=_use_threads, initargs=(threads,))

    def where(self, where: Callable[[], str]) -> tuple[str, int]:
        """The node's name, and the number of this process."""
        return where(), os.getpid()

    def make(self, folder: str, make: Callable[..., Any], *arguments: Any) -> tuple[str, Any]:
        """The object is made, in the folder in which the command was given, where that is there too: paths may be
        relative. The answer is whether it worked.
        """

        def made() -> None:
            with suppress(FileNotFoundError):
                os.chdir(folder)
            self._object = make(*arguments)

        return self._work.submit(_told, made).result()

    def call(self, method: str, *arguments: Any) -> tuple[str, Any]:
        """The answer of the object's method."""
        return self._work.submit(_told, getattr(self._object, method), *arguments).result()

    def stream(self, method: str, *arguments: Any) -> Iterator[tuple[str, Any]]:
        """The parts of an answer as they come, and the answer."""
        said: SimpleQueue[tuple[str, Any] | None] = SimpleQueue()

        def hand_over(part: Any) -> None:
            said.put(("part", part))

        answer = self._work.submit(_told, getattr(self._object, method), *arguments, hand_over)
        answer.add_done_callback(lambda ended: said.put(None))
        while (part := said.get()) is not None:
            yield part
        yield answer.result()

    def beside(self, method: str, *arguments: Any) -> tuple[str, Any]:
        """The answer of a method that is called while another one is at work."""
        return _told(getattr(self._object, method), *arguments)

    def seconds(self) -> float:
        """What this process has computed."""
        return process_time()


def _cause(text: str) -> str:
    """The line of Ray's account of a death that says why, without what else it might have been."""
    lines = [line for line in text.splitlines()[1:] if line and not line.startswith("\t")]
    return (lines[0] if lines else text).partition(" Some common causes")[0]


def _use_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _told(function: Callable[..., Any], *arguments: Any) -> tuple[str, Any]:
    try:
        return "result", function(*arguments)
    except PASSED_ON as error:
        return "error", as_told(error)


def _value(answer: tuple[str, Any]) -> Any:
    kind, value = answer
    if kind == "error":
        raise as_raised(value)
    return value
