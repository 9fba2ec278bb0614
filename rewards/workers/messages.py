"""What travels between the host, the keeper and the workers of `rewards.workers.pool`: frames of bytes.

The host pickles what it sends, for it trusts itself. What a worker answers is JSON that the host alone reads, behind a
token that it was given with the job and cannot know before: a reward that was taken over can say something wrong about
its own completion, and no more.
"""

import json
import pickle
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from socket import socket
from typing import Any

import cloudpickle

from doubleback.rewards.contract.call import Results, Samples, checked, failed
from doubleback.rewards.types import ConfigError, Score, Verdict

LENGTH = struct.Struct(">I")
"""Before every frame: the bytes that follow."""
JOB = struct.Struct(">QdH")
"""At the head of a frame to the keeper: the job's number, its limit in seconds, and which of the functions it calls."""
HEAD = struct.Struct(">QB")
"""At the head of a frame from the keeper: a job's number or, of a greeting, the function's; and which `Kind` it is."""
ANSWER = struct.Struct(">16s?")
"""At the head of a worker's answer: the token of its job, and whether the worker is spent and wants to be replaced."""
TOKEN_BYTES = 16
MAX_ANSWER = 16 << 20
"""Bytes of a worker's answer. A worker that sends more is killed."""
MAX_TEXT = 2_000
"""Characters kept of an extracted answer or a detail."""


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
    """What a worker may allocate beyond what loading took."""
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
    """The host's sys.path: a worker finds the modules that the host finds."""
    num_workers: int
    """For each function."""
    limits: Limits


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
        return bytes(cloudpickle.dumps(function))
    except (TypeError, ValueError, AttributeError, pickle.PicklingError) as error:
        text = " ".join(str(error).split())
        raise ConfigError(f"{key}: the function cannot be sent to a worker: {text}; make such things in it") from error


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
        scores = [None if item is None else _score(item) for item in json.loads(content)["scores"]]
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        return failed(size, f"the worker sent no valid answer: {str(error)[:MAX_TEXT]}")
    return scores if len(scores) == size else failed(size, f"{len(scores)} scores for {size} completions")


def _score(item: Mapping[str, Any]) -> Score:
    """Every field is converted, for a worker may have written anything."""
    return checked(
        Score(
            value=_number(item["value"]),
            verdict=Verdict(item["verdict"]),
            extracted=None if item["extracted"] is None else str(item["extracted"])[:MAX_TEXT],
            parts={str(name): float(value) for name, value in dict(item["parts"]).items()},
            detail=str(item["detail"])[:MAX_TEXT],
            seconds=_number(item["seconds"]),
        )
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
