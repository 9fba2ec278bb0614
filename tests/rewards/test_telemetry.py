"""No package below reports how doubleback is used."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from doubleback.rewards.telemetry import OFF

READERS = {
    "DO_NOT_TRACK": "vllm/envs.py",
    "HF_HUB_DISABLE_TELEMETRY": "huggingface_hub/constants.py",
    "HF_HUB_DISABLE_UPDATE_CHECK": "huggingface_hub/constants.py",
    "VLLM_DO_NOT_TRACK": "vllm/envs.py",
    "VLLM_NO_USAGE_STATS": "vllm/envs.py",
    "WANDB_ERROR_REPORTING": "wandb/env.py",
}
"""Variable -> the file of its package that reads it. Ray's and gradio's are not in the CPU set of every machine."""


def imported(layer, **environment):
    """The values of all of the variables in a fresh process that has imported a layer and nothing else."""
    clean = {name: value for name, value in os.environ.items() if name not in OFF}
    code = f"import os, doubleback.{layer}; print(*(os.environ.get({list(OFF)}[i]) for i in range({len(OFF)})))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True, check=True)
    return dict(zip(OFF, done.stdout.split(), strict=True))


@pytest.mark.parametrize("layer", ["rewards", "rl", "eval", "recipes"])
def test_whichever_layer_is_imported_first_turns_all_of_it_off(layer):
    assert imported(layer) == OFF


def test_who_wants_to_report_may():
    assert imported("rewards", RAY_USAGE_STATS_ENABLED="1") == {**OFF, "RAY_USAGE_STATS_ENABLED": "1"}


@pytest.mark.parametrize("variable", READERS)
def test_the_package_still_reads_its_variable(variable):
    package, name = READERS[variable].split("/")
    text = (Path(find_spec(package).origin).parent / name).read_text(encoding="utf-8")
    assert f'"{variable}"' in text
    assert variable in OFF
