"""Reward functions that misbehave, each in its own way where a completion says so; any other completion gets 1.0."""

import asyncio
import ctypes
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from doubleback.rewards.contract.functions import per_group, per_sample
from doubleback.rewards.types import Score, Verdict

_SLEEP_FOR_EVER = ["sleep", "1000"]


def trouble(completions, **columns):
    """What each completion asks for; plain TRL signature."""
    return [_DEEDS[text]() if text in _DEEDS else 1.0 for text in completions]


def _sleep():
    time.sleep(1000)


def _hold_the_interpreter():
    re.match(r"(a|a)*b", "a" * 60)


def _segfault():
    ctypes.string_at(0)


def _leave_children():
    for _ in range(3):
        subprocess.Popen(_SLEEP_FOR_EVER)
    return 1.0


def _leave_what_is_about_to_end():
    """As a child that was killed and has not ended yet."""
    subprocess.Popen(["sleep", "0.05"])
    return 1.0


def _leave_a_daemon():
    """A grandchild in its own session without any environment, whose parent has ended."""
    program = "import subprocess; subprocess.Popen(['/bin/sleep', '1000'], start_new_session=True, env={})"
    subprocess.run([sys.executable, "-c", program], check=True)
    return 1.0


def _leave_a_daemon_and_crash():
    _leave_a_daemon()
    _segfault()


def _fork_and_return():
    """The child comes back first, with an answer of its own."""
    if os.fork() == 0:
        return 0.5
    time.sleep(0.3)
    return 1.0


def _fork_and_stay():
    if os.fork() == 0:
        time.sleep(1000)
    return 1.0


def _fork_and_sleep():
    os.fork()  # both sleep: the call does not end, and its child is there to be found
    time.sleep(1000)


def _allocate():
    blocks = []
    while True:
        blocks.append(bytearray(64 << 20))


def _exit():
    os._exit(7)


def _leave_quietly():
    sys.exit(0)


def _interrupt():
    raise KeyboardInterrupt


def _print():
    os.write(1, b"not an answer\n" * 1000)
    print("neither is this" * 1000, flush=True)
    return 1.0


def _close_everything():
    os.closerange(3, 256)
    return 1.0


def _recurse():
    return _recurse()


def _raise():
    raise ZeroDivisionError("of my own\nmaking")


_DEEDS = {
    "sleep": _sleep,
    "hold the interpreter": _hold_the_interpreter,
    "segfault": _segfault,
    "leave children": _leave_children,
    "leave what is about to end": _leave_what_is_about_to_end,
    "leave a daemon": _leave_a_daemon,
    "leave a daemon and crash": _leave_a_daemon_and_crash,
    "fork and return": _fork_and_return,
    "fork and stay": _fork_and_stay,
    "fork and sleep": _fork_and_sleep,
    "allocate": _allocate,
    "exit": _exit,
    "leave quietly": _leave_quietly,
    "interrupt": _interrupt,
    "print": _print,
    "close everything": _close_everything,
    "recurse": _recurse,
    "raise": _raise,
    "nan": lambda: float("nan"),
    "infinity": lambda: float("inf"),
    "text": lambda: "1.0",
    "nothing": lambda: None,
}


def takes(completions, **columns):
    """1.0 after as many seconds as the completion says."""
    time.sleep(float(completions[0]))
    return [1.0]


_WARM = []


def warms_up(completions, **columns):
    """`trouble` whose first call in a process takes a while."""
    if not _WARM:
        time.sleep(1.5)
        _WARM.append(True)
    return trouble(completions)


@per_sample
async def waits(completion: str) -> Score:
    await asyncio.sleep(1000 if completion == "sleep" else 0)
    return Score(0.5, Verdict.WRONG, extracted=completion, parts={"length": len(completion)})


@per_group
def shortest(completions: list[str]) -> list[float]:
    return [float(len(text) == min(map(len, completions))) for text in completions]


class Scaled:
    """A reward made with arguments."""

    def __init__(self, factor: float, offset: float = 0.0) -> None:
        self.factor, self.offset = factor, offset

    def __call__(self, completions, answer, **columns):
        return [self.factor * len(text) + self.offset for text in completions]


def make_constant(value: float):
    """A factory, as TRL's `get_soft_overlong_punishment`."""

    def constant(completions, **columns):
        return [value] * len(completions)

    return constant


class Meets:
    """Comes back when `number` completions are being scored at the same time; each is named in the folder."""

    def __init__(self, folder: str, number: int) -> None:
        self.folder, self.number = Path(folder), number

    def __call__(self, completions, **columns):
        for text in completions:
            (self.folder / text).touch()
        while len(list(self.folder.iterdir())) < self.number:
            time.sleep(0.01)
        return [1.0] * len(completions)


def keeps_a_helper():
    """Started while loading: belongs to the reward, and may stay."""
    helper = subprocess.Popen(_SLEEP_FOR_EVER)

    def alive(completions, **columns):
        return [float(helper.poll() is None)] * len(completions)

    return alive


CHANNEL = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else -1
"""Where this process, if it is a worker, writes its answers."""


def runs(completions, **columns):
    """1.0 for "right", 0.0 for "wrong"; any other completion is run, and says 0.0 or what it puts into `said`."""
    values = []
    for text in completions:
        names = {"said": 0.0, "channel": CHANNEL}
        if text not in ("right", "wrong"):
            exec(text, names)
        values.append(1.0 if _is_right(text) else names["said"])
    return values


def _is_right(text):
    return json.loads(json.dumps(text)) == "right"


@per_sample
def careful(completion: str) -> Score:
    """A neighbour that runs nothing."""
    return Score(float(_is_right(completion)), "correct" if _is_right(completion) else "wrong", extracted=completion)


NOT_A_FUNCTION = 3
