"""A reward that runs the program of a completion: each test in a process of its own, with limits on time and memory.

Network, and the files that your user may read, are open to such a program: train where that does not matter, in a
container without a network for one.
"""

import os
import re
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from doubleback.rewards import Score, Verdict, per_sample

PROGRAM = re.compile(r"```(?:python|py)?\n(.*?)```", re.DOTALL)
MAX_OUTPUT = 1 << 20
"""Bytes that a program may write into any file, standard output included."""


@per_sample
def passes(
    completion: str, inputs: list[str], outputs: list[str], seconds: float = 2.0, memory_mib: int = 256
) -> Score:
    """1.0 where the last fenced program writes each of `outputs` when it reads the input of the same place, else 0.0.

    The output is compared here, not there: a program that ends early, or replaces what checks it, gains nothing.
    """
    programs = PROGRAM.findall(completion.rpartition("</think>")[2])
    if not programs:
        return Score(0.0, Verdict.NO_ANSWER, detail="no fenced program")
    for number, (text, expected) in enumerate(zip(inputs, outputs, strict=True), start=1):
        said = run(programs[-1], text, seconds, memory_mib)
        if said is None or said.split() != expected.split():
            reason = f"test {number} of {len(inputs)}: " + (
                f"took over {seconds:g} s" if said is None else "other output"
            )
            return Score(0.0, Verdict.WRONG, programs[-1], detail=reason)
    return Score(1.0, Verdict.CORRECT, programs[-1], detail=f"{len(inputs)} tests passed")


def run(program: str, text: str, seconds: float, memory_mib: int) -> str | None:
    """What a program writes for an input, in an empty folder and an empty environment; None where it takes too long."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (memory_mib << 20,) * 2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_OUTPUT,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    with TemporaryDirectory() as folder, (Path(folder) / "output").open("w+b") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", program],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={},
            start_new_session=True,
            preexec_fn=limit,
        )
        try:
            process.communicate(text.encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with whatever it has started in its session
            process.wait()
            # Orphans come to the reward's worker, which counts them until they are gone.
            with suppress(ChildProcessError):
                while os.waitpid(-process.pid, 0):
                    pass
        output.seek(0)
        return output.read().decode("utf-8", "replace")
