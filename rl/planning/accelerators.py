"""The accelerators that a plan can be made for, by what their makers state: memory, bandwidth, arithmetic."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One GPU."""

    memory: float
    """Bytes."""
    bandwidth: float
    """Bytes a second between memory and cores."""
    flops: float
    """Operations a second on matrices of bfloat16 that are not sparse."""
    source: str
    """Where the three are stated."""


ACCELERATORS = {
    "H100": Accelerator(80e9, 3.35e12, 989e12, "NVIDIA H100 datasheet, SXM5 80 GB; half of its figure with sparsity"),
    "H200": Accelerator(141e9, 4.8e12, 989e12, "NVIDIA H200 datasheet, SXM 141 GB; half of its figure with sparsity"),
    "A100": Accelerator(80e9, 2.039e12, 312e12, "NVIDIA A100 datasheet, SXM4 80 GB"),
    "L40S": Accelerator(48e9, 0.864e12, 362e12, "NVIDIA L40S datasheet, 48 GB"),
}
"""Name -> what its datasheet says. A new one is a row."""
