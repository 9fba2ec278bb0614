"""A step on a number of GPUs: who does what, how long each part takes, and which of them all wait for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from doubleback.rl.planning.accelerators import Accelerator
from doubleback.rl.planning.sampling import PREFILL_SHARE, Replica, Sampled, num_gpus_for, sampled
from doubleback.rl.planning.workload import Shape, Workload, lengths

LEARNING_SHARE = {"dense": 0.35, "experts": 0.10}
"""Of the arithmetic that is stated, what a learner reaches on long rows. With experts, tokens are sorted and small
matrices multiplied: published steps on H100 come to about this."""
NETWORK = 3e9
"""Bytes a second between two machines: Ray's object store over 25 Gbit/s."""
WITHIN = 10e9
"""Bytes a second between two processes of a machine: through its main memory."""
MACHINE = 8
"""GPUs of a machine."""
CANARY_TOKENS = 64
SHARES = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875)
"""Of all GPUs, what may sample where some sample and the others learn."""
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
Mode = Literal["colocated", "split", "ahead"]
MODES: tuple[Mode, ...] = ("colocated", "split", "ahead")
"""Every GPU samples, then learns; some sample and the others then learn; some sample while the others learn."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step, in seconds."""

    mode: Mode
    num_gpus: int
    num_replicas: int
    gpus_each: int
    """Of a replica."""
    num_learning: int
    """GPUs that learn."""
    sampling: Sampled
    update: float
    reduction: float
    """The shards' gradients, to where they are summed."""
    push: float
    """The adapter to all replicas."""
    canaries: float
    seconds: float
    tokens: float
    """Sampled in it."""

    @property
    def tokens_per_gpu(self) -> float:
        """A second."""
        return self.tokens / self.seconds / self.num_gpus

    @property
    def saturated(self) -> str:
        """The part that most of the step is spent on; of sampling, whether more replicas would make it less."""
        tail = self.sampling.longest >= 0.5 * self.sampling.decode
        parts = {
            "the longest completion" if tail else "sampling": self.sampling.decode,
            "prefill": self.sampling.prefill,
            "the update": self.update,
            "the reduction": self.reduction,
            "the push": self.push,
            "the canaries": self.canaries,
        }
        return max(parts, key=lambda name: parts[name])


@dataclass(frozen=True, slots=True)
class Machine:
    """Equal GPUs, and how many an engine takes."""

    gpu: Accelerator
    gpus_each: int

    def step(self, shape: Shape, workload: Workload, num_gpus: int, mode: Mode, share: float = 1.0) -> Step | None:
        """The estimate; None where the GPUs do not suffice. `share`: of the GPUs, those that sample, in a split."""
        num_sampling = num_gpus if mode == "colocated" else int(num_gpus * share)
        num_replicas = num_sampling // self.gpus_each
        num_learning = num_gpus if mode == "colocated" else num_gpus - num_replicas * self.gpus_each
        if num_replicas < 1 or num_learning < 1:
            return None
        replica = Replica(shape, self.gpu, self.gpus_each)
        sampling = sampled(replica, workload, lengths(workload), num_replicas)
        update, reduction = self._update(shape, workload, num_learning), reduced(workload, num_learning)
        push = pushed(workload.adapter_bytes, num_replicas * self.gpus_each)
        canaries = self._canaries(replica, workload)
        learning = update + reduction
        if mode == "ahead":
            seconds = max(sampling.seconds, learning) + (push + canaries) / workload.steps_of_adapter
        else:
            seconds = sampling.seconds + learning + push + canaries
        return Step(
            mode,
            num_gpus,
            num_replicas,
            self.gpus_each,
            num_learning,
            sampling,
            update,
            reduction,
            push,
            canaries,
            seconds,
            workload.tokens,
        )

    def _update(self, shape: Shape, workload: Workload, num_learning: int) -> float:
        """Each GPU takes one shard after the other; more GPUs than shards have nothing to do."""
        shards = workload.shards(num_learning)
        share = math.ceil(shards / num_learning) / shards if num_learning > 1 else 1.0
        reached = self.gpu.flops * LEARNING_SHARE["experts" if shape.num_experts else "dense"]
        length = workload.prompt_tokens + workload.mean_tokens
        return share * workload.learned_tokens * workload.passes * shape.forward_flops(length) / reached

    def _canaries(self, replica: Replica, workload: Workload) -> float:
        """Two completions for each canary problem, read by every replica and by the learner, beside one another."""
        tokens = 2 * workload.num_canaries * (workload.prompt_tokens + CANARY_TOKENS)
        flops = tokens * replica.shape.forward_flops(workload.prompt_tokens)
        engine = replica.prefill_seconds(tokens, workload.prompt_tokens) + replica.pass_seconds(1, 0)
        return engine + flops / (self.gpu.flops * PREFILL_SHARE)


def reduced(workload: Workload, num_learning: int) -> float:
    """Seconds for the gradient of every shard to reach the one place where they are summed in their order."""
    if num_learning == 1:
        return 0.0
    shards = workload.shards(num_learning)
    near = shards * min(1.0, MACHINE / num_learning)
    return workload.gradient_bytes * (near / WITHIN + (shards - near) / NETWORK)


def pushed(num_bytes: float, num_sampling: int) -> float:
    """Seconds for the adapter to reach every machine with a replica, each handing it on, and from there the GPUs."""
    machines = math.ceil(num_sampling / MACHINE)
    return num_bytes * (math.ceil(math.log2(machines)) / NETWORK + 1 / WITHIN)


def best(machine: Machine, shape: Shape, workload: Workload, num_gpus: int, mode: Mode) -> Step | None:
    """The fastest over the shares of GPUs that may sample; None where the GPUs do not suffice."""
    shares: Sequence[float] = (1.0,) if mode == "colocated" else SHARES
    steps = [machine.step(shape, workload, num_gpus, mode, share) for share in shares]
    return min((step for step in steps if step is not None), key=lambda step: step.seconds, default=None)


def plan(gpu: Accelerator, shape: Shape, workload: Workload) -> list[Step]:
    """The best step of every mode on 1 to 512 GPUs, where there is any."""
    machine = Machine(gpu, num_gpus_for(shape, gpu, workload.prompt_tokens + workload.max_tokens))
    steps = [best(machine, shape, workload, count, mode) for count in COUNTS for mode in MODES]
    return [step for step in steps if step is not None]
