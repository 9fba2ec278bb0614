"""How much memory is free, by everything that may say less: the machine, NUMA node 0, the container."""

from pathlib import Path

import psutil
import torch

from doubleback.rl.policy.base import is_cuda

NODE = Path("/sys/devices/system/node/node0/meminfo")
"""vLLM refuses a cache that does not fit into the free memory of its node."""
CGROUP = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Bytes that are free: of the CUDA device where the run will compute, else of main memory."""
    if is_cuda():
        free: int = torch.cuda.mem_get_info()[0]
        return free
    limits = [node_free(NODE), cgroup_free(CGROUP)]
    return min(int(psutil.virtual_memory().available), *(limit for limit in limits if limit is not None))


def node_free(meminfo: Path) -> int | None:
    """Bytes that a NUMA node has free or can give back, as vLLM counts them; None where there is no such file.

    A line of it: `Node 0 MemFree: 97421888 kB`.
    """
    if not meminfo.is_file():
        return None
    sizes = {words[2].rstrip(":"): int(words[3]) << 10 for words in map(str.split, _lines(meminfo))}
    return sum(sizes.get(name, 0) for name in ("MemFree", "Active(file)", "Inactive(file)", "SReclaimable"))


def cgroup_free(folder: Path) -> int | None:
    """Bytes up to the limit of the container (cgroup v2), its reclaimable files counted as free; None without one."""
    limit = folder / "memory.max"
    if not limit.is_file() or (most := _lines(limit)[0]) == "max":
        return None
    reclaimable = {name: int(size) for name, size in map(str.split, _lines(folder / "memory.stat"))}
    taken = int(_lines(folder / "memory.current")[0])
    return max(0, int(most) - taken + reclaimable.get("inactive_file", 0) + reclaimable.get("active_file", 0))


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()
