"""The scripts of docs/examples for clusters say what doubleback and Ray understand, and no more GPUs than they have."""

import re
import shlex
import subprocess
import sys

import pytest
import yaml
from support.paths import ROOT

from doubleback.recipes.recipe.loading import load_recipe
from doubleback.recipes.recipe.scale.placement import placed
from doubleback.rl.remote.cluster import Node, Share

SLURM = ROOT / "docs" / "examples" / "slurm.sh"
KUBERAY = ROOT / "docs" / "examples" / "kuberay.yaml"


def job():
    (found,) = yaml.safe_load_all(KUBERAY.read_text())
    return found["spec"]


def script():
    return SLURM.read_text().replace("\\\n", " ")


def trained(command):
    """The recipe that `doubleback train RECIPE KEY=VALUE ... --out FOLDER` trains."""
    program, verb, name, *rest = shlex.split(command)
    assert (program, verb, rest[-2]) == ("doubleback", "train", "--out")
    return load_recipe(name, rest[:-2])


def groups():
    """Each kind of pod with how many there are."""
    cluster = job()["rayClusterSpec"]
    return [(1, cluster["headGroupSpec"]), *((group["replicas"], group) for group in cluster["workerGroupSpecs"])]


def kuberay_nodes():
    nodes = []
    for number, group in groups():
        (container,) = group["template"]["spec"]["containers"]
        limits = container["resources"]["limits"]
        assert group["rayStartParams"]["num-gpus"] == limits["nvidia.com/gpu"]
        nodes += [Node("pod", int(limits["cpu"]), int(limits["nvidia.com/gpu"]), 1, is_here=not nodes)] * number
    return nodes


def slurm_nodes():
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", script(), re.MULTILINE))
    gpus, cpus = asked["gpus-per-node"], asked["cpus-per-task"]
    assert f"--num-gpus={gpus} --num-cpus={cpus}" in script()
    assert f"/$(({gpus} * SLURM_NNODES)).0 GPU" in script()
    return [Node("machine", int(cpus), int(gpus), 1, is_here=number == 0) for number in range(int(asked["nodes"]))]


def slurm_command():
    (line,) = [line for line in script().splitlines() if line.startswith("doubleback ")]
    return line


@pytest.mark.parametrize("example", ["slurm", "kuberay"])
def test_an_examples_recipe_has_its_place_on_the_examples_machines(example):
    command = slurm_command() if example == "slurm" else job()["entrypoint"]
    nodes = slurm_nodes() if example == "slurm" else kuberay_nodes()
    recipe = trained(command)
    placement = placed(recipe.scale, nodes, 1, has_device=True)
    assert placement.trainer == Share(1, 1)
    assert 1 + placement.num_engines + placement.num_trainers == recipe.scale.gpus == sum(node.gpus for node in nodes)


def test_both_want_a_token():
    assert job()["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert "umask 077" in script()
    assert "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=" in script()


def test_the_slurm_script_is_one():
    assert subprocess.run(["bash", "-n", str(SLURM)], check=False).returncode == 0


@pytest.mark.slow
def test_what_ray_is_told_it_understands():
    """Options of `ray start` and `ray status`, in both. In a process of its own: ray reads its variables once."""
    code = "from ray.scripts.scripts import *\nfor it in start, status: print(*[o for p in it.params for o in p.opts])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    known = dict(zip(("start", "status"), (set(line.split()) for line in said.splitlines()[-2:]), strict=True))
    options = {f"--{name}" for _, group in groups() for name in group["rayStartParams"]}
    (shared,) = re.findall(r"^options=\((.+)\)$", script(), re.MULTILINE)
    said = [shared, *re.findall(r"ray start (.+?) &$", script(), re.MULTILINE)]
    options |= {option for line in said for option in re.findall(r"--[\w-]+", line)}
    assert options >= {"--head", "--address", "--num-gpus", "--block"}
    assert options - known["start"] == set()
    assert "--address" in known["status"]
