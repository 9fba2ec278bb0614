"""The build backend: setuptools, with a source archive that is the repository, tracked file by tracked file.

setuptools would pack the packages alone, under the names of `.links/`: no tests, no scripts, no locks, no links.
"""

import gzip
import io
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 (every other hook is setuptools' own)

ROOT = Path(__file__).parents[1]


def build_sdist(sdist_directory: str, config_settings: dict[str, Any] | None = None) -> str:
    """The archive's name in `sdist_directory`. Equal files make equal bytes: no times, no owners."""
    with tempfile.TemporaryDirectory() as folder:
        information = Path(folder, build_meta.prepare_metadata_for_build_wheel(folder, config_settings))
        name = information.name.removesuffix(".dist-info")
        metadata = (information / "METADATA").read_bytes()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in _files():
            entry = archive.gettarinfo(ROOT / path, f"{name}/{path}")
            if entry.issym():
                archive.addfile(_plain(entry))
            else:
                archive.addfile(_plain(entry), io.BytesIO((ROOT / path).read_bytes()))
        entry = tarfile.TarInfo(f"{name}/PKG-INFO")
        entry.size = len(metadata)
        archive.addfile(_plain(entry), io.BytesIO(metadata))
    with gzip.GzipFile(Path(sdist_directory, f"{name}.tar.gz"), "wb", mtime=0) as file:
        file.write(packed.getvalue())
    return f"{name}.tar.gz"


def _files() -> list[str]:
    """What git tracks; where this is no checkout, all that lies here, which was such an archive."""
    if (ROOT / ".git").exists():  # a folder above may be another project's checkout
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout.decode()
        names = [name for name in listed.split("\0") if name]
    else:
        names = [
            str(Path(folder, name).relative_to(ROOT))
            for folder, folders, files in os.walk(ROOT)
            for name in [*files, *(it for it in folders if Path(folder, it).is_symlink())]
        ]
    return sorted(name for name in names if name != "PKG-INFO" and os.path.lexists(ROOT / name))


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """The entry as on any machine. A file may be executed by all or by none."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.mode & 0o100 else 0o644
    entry.type = entry.type if entry.issym() else tarfile.REGTYPE  # a second name of a file is a file here
    return entry
