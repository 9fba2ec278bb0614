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


@pytest.mark.parametrize("files", [(), ("__init__.py",)], ids=["a folder", "a package"])
def test_a_folder_of_that_name_in_the_current_one_is_no_build(tmp_path, files):
    """It has no version: whoever works in it (a checkout of torchvision, say) is not stopped by a traceback."""
    (tmp_path / "torchvision").mkdir()
    for name in files:
        (tmp_path / "torchvision" / name).touch()
    (tmp_path / "elsewhere" / "torch-2.13.0+cpu.dist-info").mkdir(parents=True)
    information = tmp_path / "elsewhere" / "torch-2.13.0+cpu.dist-info" / "METADATA"
    information.write_text("Name: torch\nVersion: 2.13.0+cpu\n", encoding="utf-8")
    # Whatever is installed beside these: the first of a name is what importlib finds.
    code = (
        "import importlib.metadata as it, sys; known = it.version\n"
        "def version(name):\n"
        "    if name == 'torchvision': raise it.PackageNotFoundError(name)\n"
        "    return known(name)\n"
        "it.version = version\n"
        "import doubleback.rl, importlib.util\n"
        "print(importlib.util.find_spec('torchvision') is not None)"
    )
    paths = os.pathsep.join([str(tmp_path / "elsewhere"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, encoding="utf-8"
    )
    assert (done.stdout.strip(), done.returncode) == ("True", 0), done.stderr


def test_who_has_none_of_them_loads_no_metadata():
    code = (
        "import sys; sys.modules |= dict.fromkeys(('torchvision', 'torchaudio', 'torchcodec'))\n"
        "before = set(sys.modules)\n"
        "import doubleback.rewards.unfit; print('importlib.metadata' in set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8")
    assert done.stdout.strip() == "False", done.stderr
