"""Engines in processes of their own, so that they can sample while this process learns. One call at a time.

The frozen base is handed over in shared memory. With several CUDA devices the trainer has the first, the engines the
others in turn. What an engine raises is raised here by its own name; an engine that dies, or says nothing for too long,
is named.
"""

import math
import os
import signal
from collections.abc import Callable, Mapping, MutableSequence, Sequence
from contextlib import suppress
from dataclasses import astuple, replace
from multiprocessing import util
from multiprocessing.connection import Connection
from threading import Lock, Thread
from time import sleep
from typing import Any

import psutil
import torch
from torch import Tensor, multiprocessing
from transformers import PreTrainedTokenizerBase

from doubleback.rewards.types import ConfigError, Problem, RunError
from doubleback.rl.engines.engine import Engine, Load, OnGroup, Watched
from doubleback.rl.engines.setup import EngineSetup
from doubleback.rl.hanging import LOOK_SECONDS, Silence
from doubleback.rl.policy.lora import Adapter
from doubleback.rl.types import Group, Sampling, TokenSequence

Make = Callable[[EngineSetup, Mapping[str, Tensor], PreTrainedTokenizerBase], Engine]
NICENESS = 5
"""How far engines stand back: with fewer cores than processes, what learns is the longest, and goes first."""
CLOSE_SECONDS = 5.0
"""How long a process may take to end by itself."""
PASSED_ON = (ConfigError, RunError, ValueError, RuntimeError)
"""What is raised here as it was there."""
ERRORS = {error.__name__: error for error in PASSED_ON}


class ProcessEngine:
    """See `rl.engines.engine.Engine`."""

    def __init__(
        self,
        make: Make,
        setup: EngineSetup,
        base: Mapping[str, Tensor],
        tokenizer: PreTrainedTokenizerBase,
        index: int = 0,
    ) -> None:
        """Starts the process, in which `make(setup, base, tokenizer)` makes the engine: a function of some module.

        It is not waited for: `require_started` does that. `index`: which of the engines it is, from 0.
        """
        self._stall_seconds = setup.stall_seconds
        context = multiprocessing.get_context("spawn")
        self._pipe, far_end = context.Pipe()
        self._lock = Lock()
        self._given_up = ""
        """Why nothing is asked of it any more."""
        self._told = context.RawArray("q", 6)
        apart = device_apart(index, torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES"))
        # What the engine's process cannot see, it cannot be given.
        shared = {name: tensor.cpu() for name, tensor in base.items()} if apart else dict(base)
        patient = replace(setup, stall_seconds=math.inf)  # this side keeps the time, and names what hangs
        arguments = (far_end, self._told, torch.get_num_threads(), make, (patient, shared, tokenizer))
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        before = dict(os.environ)
        os.environ.update(apart)
        try:
            self._process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        far_end.close()

    def require_started(self) -> None:
        """Return once it is there. RunError where it neither answers nor computes for `stall_seconds`, and what kept
        it from starting.
        """
        self._answer()

    def load_adapter(self, adapter: Adapter, version: int) -> None:
        """Serve `adapter` from now on, as `rl.engines.engine.Engine` says."""
        self._call("load_adapter", adapter, version)

    def sample(
        self,
        problems: Sequence[Problem],
        sampling: Sampling,
        seeds: Sequence[int],
        on_group: OnGroup | None = None,
    ) -> list[Group]:
        """A group for each problem, as `rl.engines.engine.Sampler` says."""
        groups: list[Group] = self._call("sample", problems, sampling, seeds, on_group=on_group)
        return groups

    def score(self, sequences: Sequence[TokenSequence]) -> list[tuple[float, ...]]:
        """Log-probabilities of given completions, as `rl.engines.engine.Engine` says."""
        scores: list[tuple[float, ...]] = self._call("score", sequences)
        return scores

    def load(self) -> Load | None:
        """How the engine stood a moment ago, as `rl.engines.engine.Watched` says."""
        is_known, *counts = self._told
        return Load(*counts) if is_known else None

    def close(self) -> None:
        """Free what the engine holds."""
        # While a call waits for its answer, nobody wants that any more.
        if self._process.is_alive() and not self._given_up and self._lock.acquire(blocking=False):
            with suppress(OSError):  # it has ended meanwhile
                self._pipe.send(("close", ()))
            self._process.join(timeout=CLOSE_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End the process, whatever it does."""
        if self._process.is_alive():
            self._process.kill()

    def _call(self, name: str, *arguments: Any, on_group: OnGroup | None = None) -> Any:
        with self._lock:
            if self._given_up:
                raise RunError(self._given_up)
            try:
                self._pipe.send((name, arguments))
            except OSError:
                raise self._ended() from None
            return self._answer(on_group)

    def _answer(self, on_group: OnGroup | None = None) -> Any:
        silence = Silence(self._stall_seconds, self._processor_seconds())
        while True:
            if not self._pipe.poll(LOOK_SECONDS):
                if not self._process.is_alive():
                    raise self._ended()
                if silence.is_too_long(self._processor_seconds()):
                    self._given_up = (
                        f"the engine's process {self._process.pid} has neither answered nor computed for "
                        f"{silence.limit:g} s (engine.stall_seconds)"
                    )
                    raise RunError(self._given_up)
                continue
            try:
                kind, value = self._pipe.recv()
            except (EOFError, OSError):
                raise self._ended() from None
            if kind == "result":
                return value
            if kind == "error":
                name, text = value
                raise ERRORS.get(name, RunError)(text)
            if on_group is not None:
                on_group(*value)
            silence = Silence(self._stall_seconds, self._processor_seconds())

    def _processor_seconds(self) -> float:
        """What the engine's process has computed since it began."""
        try:
            times = psutil.Process(self._process.pid).cpu_times()
        except psutil.Error:  # it has ended, which the pipe will tell
            return 0.0
        return float(times.user + times.system)

    def _ended(self) -> RunError:
        """What there is to say of a process that is gone."""
        self._process.join(timeout=CLOSE_SECONDS)
        return RunError(f"the engine's process has ended ({_cause(self._process.exitcode)})")


def _cause(code: int | None) -> str:
    """The exit code in words: a negative one is a signal, and SIGKILL is mostly a lack of memory."""
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}: perhaps for want of memory, see dmesg" if name == "SIGKILL" else name


def device_apart(index: int, count: int, visible: str | None) -> dict[str, str]:
    """Environment of engine `index` where there are `count` CUDA devices, of `visible` in CUDA's words."""
    if count < 2:
        return {}
    device = 1 + index % (count - 1)
    return {"CUDA_VISIBLE_DEVICES": visible.split(",")[device].strip() if visible else str(device)}


def _serve(pipe: Connection, told: MutableSequence[int], threads: int, make: Make, arguments: tuple[Any, ...]) -> None:
    """The other side: an engine, and the calls of it that come through the pipe; `told` says how it stands."""
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to end
    torch.set_num_threads(threads)
    try:
        engine = make(*arguments)
    except PASSED_ON as error:
        pipe.send(("error", (type(error).__name__, str(error))))
        return
    Thread(target=_tell, args=(engine, told), daemon=True).start()
    pipe.send(("result", None))
    try:
        while True:
            name, values = pipe.recv()
            if name == "close":
                break
            reply = _reply(engine, name, values, lambda *group: pipe.send(("group", group)))
            _note(engine, told)  # else what comes next would be counted from a moment ago
            pipe.send(reply)
    except (EOFError, BrokenPipeError):
        pass  # the parent is gone
    finally:
        engine.close()
    # What is left frees nothing that the system does not, and takes vLLM's interpreter a second or more; but for
    # semaphores, which have names and would be reported as leaked.
    util._exit_function()  # type: ignore[attr-defined]  # the stubs have no such name
    os._exit(0)


def _tell(engine: Engine, told: MutableSequence[int]) -> None:
    while True:
        _note(engine, told)
        sleep(LOOK_SECONDS)


def _note(engine: Engine, told: MutableSequence[int]) -> None:
    if isinstance(engine, Watched) and (load := engine.load()) is not None:
        told[:] = [1, *astuple(load)]


def _reply(engine: Engine, name: str, values: tuple[Any, ...], on_group: OnGroup) -> tuple[str, Any]:
    try:
        if name == "sample":
            problems, sampling, seeds = values
            return "result", engine.sample(problems, sampling, seeds, on_group)
        return "result", getattr(engine, name)(*values)
    except PASSED_ON as error:
        return "error", (type(error).__name__, str(error))
