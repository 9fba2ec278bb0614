"""How long an engine replica takes for its share of a step's completions."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from doubleback.rl.planning.accelerators import Accelerator
from doubleback.rl.planning.workload import Shape, Workload

BANDWIDTH_SHARE = 0.7
"""Of the bandwidth that is stated, what sampling reaches: kernels that read weights and cache come to about as much."""
LAYER_SECONDS = 60e-6
"""What a layer takes in one pass of a few tokens beside reading its weights: a dozen small kernels, and the sampler."""
PREFILL_SHARE = 0.3
"""Of the arithmetic that is stated, what a pass over whole prompts reaches."""
USABLE_MEMORY = 0.85
"""Of a GPU's memory, what weights and cache may fill."""


@dataclass(frozen=True, slots=True)
class Replica:
    """An engine on `num_gpus` GPUs, its weights divided among them."""

    shape: Shape
    gpu: Accelerator
    num_gpus: int

    def pass_seconds(self, num_sequences: float, context: float) -> float:
        """One token for each of the sequences: weights and cache are read, or the arithmetic is done, whatever takes
        longer.
        """
        read = self.shape.read_bytes(num_sequences) + num_sequences * context * self.shape.kv_bytes
        reading = read / (self.gpu.bandwidth * BANDWIDTH_SHARE)
        computing = num_sequences * self.shape.forward_flops(context) / (self.gpu.flops * PREFILL_SHARE)
        return max(reading, computing) / self.num_gpus + LAYER_SECONDS * self.shape.num_layers

    def num_slots(self, context: float) -> int:
        """Sequences of `context` tokens for which there is memory; 0 where the weights alone do not fit."""
        room = self.num_gpus * self.gpu.memory * USABLE_MEMORY - self.shape.num_parameters * self.shape.width
        return max(0, int(room / (self.shape.kv_bytes * context)))

    def prefill_seconds(self, num_tokens: float, length: float) -> float:
        """For prompts of so many tokens in all."""
        return num_tokens * self.shape.forward_flops(length) / (self.gpu.flops * PREFILL_SHARE * self.num_gpus)


def num_gpus_for(shape: Shape, gpu: Accelerator, context: float) -> int:
    """The fewest GPUs, a power of two, that hold the weights and the cache of 16 completions of `context` tokens."""
    count = 1
    while Replica(shape, gpu, count).num_slots(context) < 16:
        count *= 2
    return count


@dataclass(frozen=True, slots=True)
class Sampled:
    """What a replica's share of a step takes."""

    prefill: float
    decode: float
    longest: float
    """Seconds that the longest completion would take were it alone: no number of replicas makes it less."""

    @property
    def seconds(self) -> float:
        """Of both."""
        return self.prefill + self.decode


def sampled(replica: Replica, workload: Workload, drawn: Sequence[float], num_replicas: int) -> Sampled:
    """The slowest of `num_replicas` equal ones that take completions from one queue: it has every num_replicas-th, the
    longest among them.

    Between two completions that end, all that run get a token a pass; where one ends, the next begins.
    """
    first = max(range(len(drawn)), key=drawn.__getitem__) % num_replicas
    share = drawn[first::num_replicas]
    context = workload.prompt_tokens + workload.mean_tokens / 2
    full = workload.prompt_tokens + workload.max_tokens
    slots = min(workload.max_num_seqs, replica.num_slots(full))
    running, passes, seconds, begun = list[float](), 0.0, 0.0, 0
    while running or begun < len(share):
        while begun < len(share) and len(running) < slots:
            heapq.heappush(running, passes + share[begun])
            begun += 1
        seconds += (running[0] - passes) * replica.pass_seconds(len(running), context)
        passes = heapq.heappop(running)
    prompts = min(len(share), -(-workload.num_problems // num_replicas) + 1) * workload.prompt_tokens
    alone = max(share) * replica.pass_seconds(1, context)
    return Sampled(replica.prefill_seconds(prompts, workload.prompt_tokens), seconds, alone)
