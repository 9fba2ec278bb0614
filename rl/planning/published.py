"""Steps that others have measured and published, and how far the estimate is from each."""

from collections.abc import Mapping
from dataclasses import dataclass

from doubleback.rl.planning.accelerators import ACCELERATORS
from doubleback.rl.planning.step import Machine, Mode
from doubleback.rl.planning.workload import Shape, Workload

SOURCE = "NVIDIA NeMo-RL 0.6, docs/about/performance-summary.md: GRPO in bfloat16 on DGX H100"
QWEN3_30B_A3B = Shape(30.53e9, 128, 8, 28.99e9, 48, 4096, 48 * 2 * 4 * 128 * 2, 2)
QWEN3_235B_A22B = Shape(235.1e9, 128, 8, 227.1e9, 94, 8192, 94 * 2 * 4 * 128 * 2, 2)


@dataclass(frozen=True, slots=True)
class Measured:
    """One published step."""

    shape: Shape
    num_gpus: int
    gpus_each: int
    """Of an engine."""
    mode: Mode
    share: float
    """Of the GPUs, what samples, where they are split."""
    num_completions: int
    group_size: int
    mean_tokens: float
    max_tokens: int
    seconds: float
    """As published."""

    @property
    def estimated(self) -> float:
        """Seconds, by `rl.planning.step`.

        All weights learn there: three passes, and two scorings (the policy before the step, the reference). What is
        then pushed, and reduced, is the whole model, which NCCL moves and no object store; it is left out.
        """
        problems = self.num_completions // self.group_size
        workload = Workload(
            problems, self.group_size, 128, self.mean_tokens, self.max_tokens, 256, 5, 0, 0, 0, is_prompt_shared=False
        )
        step = Machine(ACCELERATORS["H100"], self.gpus_each).step(
            self.shape, workload, self.num_gpus, self.mode, self.share
        )
        assert step is not None
        return step.seconds

    @property
    def error(self) -> float:
        """(estimate - published) / published."""
        return self.estimated / self.seconds - 1


MEASURED: Mapping[str, Measured] = {
    "Qwen3-30B-A3B, 32 GPUs, on policy": Measured(QWEN3_30B_A3B, 32, 2, "colocated", 1.0, 2048, 32, 3203, 4096, 192),
    "Qwen3-30B-A3B, 32 GPUs, one step off": Measured(QWEN3_30B_A3B, 32, 2, "ahead", 0.5, 2048, 32, 3201, 4096, 152),
    "Qwen3-235B-A22B, 128 GPUs, on policy": Measured(
        QWEN3_235B_A22B, 128, 16, "colocated", 1.0, 512, 32, 5698, 8192, 395
    ),
    "Qwen3-235B-A22B, 256 GPUs, one step off": Measured(
        QWEN3_235B_A22B, 256, 8, "ahead", 0.5, 512, 32, 5721, 8192, 231
    ),
}
"""What -> the row. 8 steps off (192 GPUs, 34.5 s) is left out: there adapters change while completions are sampled."""
