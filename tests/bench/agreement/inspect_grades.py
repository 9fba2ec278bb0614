"""Has inspect grade stored completions as it grades GSM8K; runs where inspect_ai is installed, and needs nothing else.

inspect eval tests/bench/agreement/inspect_grades.py -T folder=$PWD/EVAL --model mockllm/model --log-format json
"""

import json
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import match
from inspect_ai.solver import Generate, Solver, TaskState, solver


@solver
def stored(completions: dict[str, str]) -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state.output = ModelOutput.from_content("stored", completions[str(state.sample_id)])
        return state

    return solve


@task
def grades(folder: str) -> Task:
    """The samples that `doubleback eval` wrote into a folder, with match(numeric=True), GSM8K's scorer there."""
    columns = {line["id"]: line["columns"] for line in _lines(folder, "problems.jsonl")}
    completions = {line["problem"]: line["completion"] for line in _lines(folder, "samples.jsonl")}
    samples = [
        Sample(columns[name]["question"], target=columns[name]["answer"].rpartition("####")[2].strip(), id=name)
        for name in completions
    ]
    return Task(MemoryDataset(samples), solver=stored(completions), scorer=match(numeric=True))


def _lines(folder: str, name: str) -> list[dict]:
    return [json.loads(line) for line in Path(folder, name).read_text(encoding="utf-8").splitlines()]
