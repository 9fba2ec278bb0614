"""torchvision and its like for CUDA, beside torch's CPU build: not there, for whoever looks."""

import os
import subprocess
import sys

import pytest

LOOK = """
import importlib.util, doubleback.{layer}
print(importlib.util.find_spec("torchvision"))
import torchvision
"""


@pytest.fixture
def imported(tmp_path):
    """Call it with versions of torch and torchvision: what a fresh process says that has both and imports a layer."""

    def call(torch, torchvision, layer="rl"):
        for name, version, code in (("torch", torch, ""), ("torchvision", torchvision, "raise RuntimeError('no nms')")):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "__init__.py").write_text(code, encoding="utf-8")
            information = tmp_path / f"{name}-{version}.dist-info"
            information.mkdir()
            (information / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n", encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
        command = [sys.executable, "-c", LOOK.format(layer=layer)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        return done.stdout.split("(")[0].strip(), done.stderr.strip().splitlines()[-1].split(":")[0]

    return call


@pytest.mark.parametrize("layer", ["rl", "eval", "recipes"])
def test_a_build_for_cuda_is_not_there_beside_torch_for_the_cpu(imported, layer):
    assert imported("2.13.0+cpu", "0.28.0", layer) == ("None", "ModuleNotFoundError")


@pytest.mark.parametrize(("torch", "torchvision"), [("2.13.0+cpu", "0.28.0+cpu"), ("2.13.0", "0.28.0")])
def test_what_fits_is_imported(imported, torch, torchvision):
    assert imported(torch, torchvision) == ("ModuleSpec", "RuntimeError")
