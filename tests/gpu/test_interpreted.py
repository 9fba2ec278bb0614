"""vLLM's kernels for adapters on experts against the trainer, without a GPU: `make interpret`, see `interpreted.py`."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
from support.paths import ROOT

from doubleback.rl.policy.families import FAMILIES

RUNTIME = [name for name, family in FAMILIES.items() if "experts" in family.runtime_parts]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed: make interpret"),
]


@pytest.fixture(scope="module")
def measured():
    paths = os.pathsep.join([str(ROOT / "tests"), *sys.path])
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": paths}
    command = [sys.executable, str(ROOT / "tests/gpu/interpreted.py"), *RUNTIME]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return {row["family"]: row for row in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", RUNTIME)
def test_an_adapter_that_went_as_it_is_computes_what_the_trainer_does(measured, name):
    """To rounding, in float32; without the experts' part it would be a million times as far."""
    assert measured[name]["gap"] < 1e-5
    assert measured[name]["without_experts"] > 0.1
