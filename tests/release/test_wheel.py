"""What is published: the source archive is the repository, the wheel the package, and neither names a machine."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import BytesParser
from importlib.metadata import version
from pathlib import Path

import pytest
from support.paths import ROOT

FOLDERS = ("rewards", "rl", "eval", "recipes")


@pytest.mark.slow
def test_sdist_is_every_tracked_file_and_its_metadata(sdist: Path) -> None:
    root = f"doubleback-{version('doubleback')}"
    with tarfile.open(sdist) as archive:
        names = {entry.name: entry for entry in archive}
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    assert set(names) == {f"{root}/{name}" for name in [*tracked.split("\0"), "PKG-INFO"] if name}
    assert names[f"{root}/.links/doubleback/rl"].issym()
    assert {(entry.uid, entry.uname, entry.mtime) for entry in names.values()} == {(0, "", 0)}


@pytest.mark.slow
def test_sdist_of_the_unpacked_sdist_is_the_same_to_the_last_byte(sdist: Path, source: Path, tmp_path: Path) -> None:
    code = "import sys; sys.path.insert(0, 'scripts'); import build_backend; build_backend.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, tmp_path], cwd=source, check=True, capture_output=True)
    assert (tmp_path / sdist.name).read_bytes() == sdist.read_bytes()


@pytest.mark.slow
def test_sdist_inside_another_projects_checkout_is_not_that_projects(sdist: Path, source: Path, tmp_path: Path) -> None:
    """The unpacked archive is no checkout, whatever lies above it: git would name the other's files, or none."""
    unpacked = shutil.copytree(source, tmp_path / "other" / source.name, symlinks=True)
    subprocess.run(["git", "init", "-q", tmp_path / "other"], check=True)
    code = "import sys; sys.path.insert(0, 'scripts'); import build_backend; build_backend.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, tmp_path], cwd=unpacked, check=True, capture_output=True)
    assert (tmp_path / sdist.name).read_bytes() == sdist.read_bytes()


@pytest.mark.slow
def test_wheel_has_every_module_and_data_file(wheel: Path, published_files: list[Path]) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    ours = [name for name in published_files if name.parts[0] in FOLDERS]
    wanted = {name for name in ours if name.suffix in {".py", ".yaml"} or name.name == "py.typed"}
    wanted |= {name for name in ours if name.parts[:2] == ("recipes", "bases")}
    assert {f"doubleback/{name.as_posix()}" for name in wanted} <= packed
    assert {f"doubleback/{folder}/py.typed" for folder in FOLDERS} <= packed


@pytest.mark.slow
def test_wheel_takes_no_name_but_doubleback(wheel: Path) -> None:
    packed = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in packed} == {"doubleback", f"doubleback-{version('doubleback')}.dist-info"}
    assert "doubleback/__init__.py" not in packed  # a namespace package


@pytest.mark.slow
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


def test_no_published_file_names_a_path_of_a_machine(published_files: list[Path]) -> None:
    pattern = re.compile(rb"(?<!\w)/(" + b"|".join([b"work", b"farm", b"root"]) + rb")/")
    found = [
        f"{name}:{number}"
        for name in published_files
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
