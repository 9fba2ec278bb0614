"""vLLM as it is imported here."""

import subprocess
import sys

import pytest

PROGRAM = """
import peft  # as in every command: it brings torch's compiler along, which reads then whether it is wanted
import doubleback.rl.engines.vllm
from vllm.v1.sample.ops.logprobs import batched_count_greater_than
print(hasattr(batched_count_greater_than, "_torchdynamo_orig_callable"))
"""


@pytest.mark.slow
def test_nothing_of_vllm_is_compiled():
    """It costs seconds in every process, for a compiler of C++ among others, and gains nothing on a CPU."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.stdout.split() == ["False"], done.stderr
