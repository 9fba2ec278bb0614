"""Which files are published."""

import os
import subprocess
from pathlib import Path

import pytest

from support.paths import ROOT


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
    return sorted(Path(name) for name in set(listed.split("\0")) - {""} if os.path.lexists(ROOT / name))
