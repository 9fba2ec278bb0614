"""What travels between the host, the keeper and the workers of `rewards.workers.pool`: frames of bytes.

The host pickles what it sends, for it trusts itself. What a worker answers is JSON, behind a token that it was given
with the job and cannot know before. The keeper compares the token and reads the answer, so that it can replace a worker
that sent none; the host does both again. A reward that was taken over can say something wrong about its own completion,
and no more.
"""

import json
import math
import os
import pickle
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from socket import socket
from types import ModuleType
from typing import Any

import cloudpickle

from doubleback.rewards.contract.call import Results, Samples, checked, failed
from doubleback.rewards.types import ConfigError, Score, Verdict

LENGTH = struct.Struct(">I")
"""Before every frame: the bytes that follow."""
JOB = struct.Struct(">QdHI16s")
"""At the head of a frame to the keeper: the job's number, its limit in seconds, which of the functions it calls, for
how many completions, and its token."""
HEAD = struct.Struct(">QB16s")
"""At the head of a frame from the keeper: a job's number or, of a greeting, the function's; which `Kind` it is; the
token of the job, of a greeting that of the pool, with which the keeper's first frame begins."""
ANSWER = struct.Struct(">16s?")
"""At the head of a worker's answer: the token of its job, and whether the worker is spent and wants to be replaced."""
TOKEN_BYTES = 16
MAX_ANSWER = 16 << 20
"""Bytes of a worker's answer. A worker that sends more is killed."""
MAX_TEXT = 2_000
"""Characters kept of an extracted answer or a detail."""
MAX_PARTS = 1_000
FIELDS = frozenset({"value", "verdict", "extracted", "parts", "detail", "seconds"})
"""What an answer says of a completion: these, and nothing else."""


class Kind(IntEnum):
    """What the keeper sends to the host."""

    GREETING = 0
    """A worker has loaded its function, or not."""
    ANSWER = 1
    """What a worker wrote: not to be trusted."""
    FAULT = 2
    """What the keeper says of a job that has no answer: a verdict and a detail."""


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """A reward function that workers load."""

    name: str
    """What jobs call it."""
    target: str | bytes
    """`package.module:attr`, `path.py:attr` or an entry point of `doubleback.rewards`; or the function itself, as
    cloudpickle writes it."""
    arguments: Mapping[str, Any]
    """Keyword arguments from the recipe."""
    key: str
    """The key of the recipe that named it, for messages."""
    is_warm: bool = False
    """Loading has called it already: its first call needs no more time than any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a worker may take, and how long the host waits."""

    timeout_seconds: float = 2.0
    """Per completion, from when a worker takes the job."""
    memory_mib: int = 1024
    """What a worker and all that it starts may allocate together, beyond what loading took."""
    processes: int = 64
    """How many processes a worker and all that it starts may be."""
    file_mib: int = 1024
    """How large a file they may write."""
    load_seconds: float = 120.0
    """For loading a function."""
    first_call_seconds: float = 60.0
    """Beyond `timeout_seconds`, for the first call of a function in a fresh worker: it may import what it needs."""
    stall_seconds: float = 30.0
    """Beyond all these together no worker need answer anything; after that their keeper itself must be broken."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a keeper and its workers are told once."""

    functions: tuple[FunctionSpec, ...]
    """Of a worker its only one: no two share a process."""
    path: tuple[str, ...]
    """The host's sys.path without the folder that it runs in: a worker finds the modules that are installed there."""
    num_workers: int
    """For each function."""
    limits: Limits
    ledger: int = -1
    """Of a worker: the descriptor of `rewards.workers.shared_memory.Ledger`."""


@dataclass(frozen=True, slots=True)
class Job:
    """One call of one function."""

    function: str
    samples: Samples
    is_messages: bool
    step: int


def pickled(function: Callable[..., Any], key: str) -> bytes:
    """The function itself, for a worker that cannot import it: one of a notebook, a script or a closure.

    ConfigError names `key` where it holds something that cannot be sent, an open file for one.
    """
    try:
        with _as_they_are(_modules_of_this_folder()):
            return bytes(cloudpickle.dumps(function))
    except (TypeError, ValueError, AttributeError, pickle.PicklingError) as error:
        text = " ".join(str(error).split())
        raise ConfigError(f"{key}: the function cannot be sent to a worker: {text}; make such things in it") from error


def _modules_of_this_folder() -> list[ModuleType]:
    """The modules that were imported from the folder that this process runs in, where no worker looks for any."""
    here = os.path.realpath(os.getcwd())
    tops = {name: module for name, module in list(sys.modules.items()) if "." not in name and name != "__main__"}
    places: dict[str, str] = {}
    for name, module in tops.items():
        if file := getattr(module, "__file__", None):
            folder = os.path.dirname(file)
            places[name] = os.path.dirname(folder) if hasattr(module, "__path__") else folder
    # Few places for many modules: each is looked at once.
    are_here = {place for place in set(places.values()) if os.path.realpath(place) == here}
    names = {name for name, place in places.items() if place in are_here}
    return [module for name, module in list(sys.modules.items()) if name.partition(".")[0] in names]


@contextmanager
def _as_they_are(modules: Sequence[ModuleType]) -> Iterator[None]:
    """Within the block functions and classes of these modules are sent as they are, not by their names."""
    fresh = [module for module in modules if module.__name__ not in cloudpickle.list_registry_pickle_by_value()]
    for module in fresh:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in fresh:
            cloudpickle.unregister_pickle_by_value(module)


def frame(content: bytes) -> bytes:
    """`content` behind its length."""
    return LENGTH.pack(len(content)) + content


def receive(channel: socket) -> bytes | None:
    """The next frame's content, waiting for it; None where the other side is gone."""
    head = _receive_exactly(channel, LENGTH.size)
    return None if head is None else _receive_exactly(channel, *LENGTH.unpack(head))


def _receive_exactly(channel: socket, size: int) -> bytes | None:
    content = bytearray()
    while len(content) < size:
        try:
            piece = channel.recv(min(size - len(content), 1 << 20))
        except OSError:  # also where this side has closed the channel meanwhile
            return None
        if not piece:
            return None
        content += piece
    return bytes(content)


def scores_to_json(scores: Sequence[Score | None]) -> bytes:
    """What follows the head of a worker's answer."""
    return json.dumps({"scores": [score and _to_json(score) for score in scores]}).encode()


def _to_json(score: Score) -> dict[str, Any]:
    return {
        "value": score.value,
        "verdict": score.verdict,
        "extracted": score.extracted and score.extracted[:MAX_TEXT],
        "parts": dict(score.parts),
        "detail": score.detail[:MAX_TEXT],
        "seconds": score.seconds,
    }


def results_from_json(content: bytes, size: int) -> Results:
    """The scores of an answer to a job of `size` completions; a fault for each where it is no such answer."""
    try:
        return scores_from_json(content, size)
    except ValueError as error:
        return failed(size, f"the worker sent no valid answer: {str(error)[:MAX_TEXT]}")


def scores_from_json(content: bytes, size: int) -> Results:
    """The scores of an answer to a job of `size` completions. ValueError where it is none, for whatever reason."""
    try:
        answer = json.loads(content)
        if not isinstance(answer, dict) or answer.keys() != {"scores"} or not isinstance(answer["scores"], list):
            raise ValueError("it is no object with scores alone")
        if len(answer["scores"]) != size:
            raise ValueError(f"{len(answer['scores'])} scores for {size} completions")
        return [None if item is None else _score(item) for item in answer["scores"]]
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _score(item: Any) -> Score:
    """A score whose every field has the type that it must have: a worker may have written anything."""
    if not isinstance(item, dict) or item.keys() != FIELDS:
        raise ValueError(f"a score has other fields than {', '.join(sorted(FIELDS))}")
    parts = item["parts"]
    if not isinstance(parts, dict) or len(parts) > MAX_PARTS:
        raise ValueError("parts is no object, or too large")
    score = Score(
        value=_number(item["value"], "value"),
        verdict=Verdict(_text(item["verdict"], "verdict")),
        extracted=None if item["extracted"] is None else _text(item["extracted"], "extracted"),
        parts={name[:MAX_TEXT]: _float(value, "a part") for name, value in parts.items()},
        detail=_text(item["detail"], "detail"),
        seconds=_number(item["seconds"], "seconds"),
    )
    return checked(score)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")
    return value[:MAX_TEXT]


def _number(value: Any, name: str) -> float | None:
    """A finite number, or none."""
    if value is None:
        return None
    if not math.isfinite(number := _float(value, name)):
        raise ValueError(f"{name} is {number}")
    return number


def _float(value: Any, name: str) -> float:
    """A number, of parts NaN too: a reward may say that one is undefined."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is no number")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"{name} is more than a float can hold") from error
