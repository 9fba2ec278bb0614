"""How much memory a recipe will take, estimated from the configuration alone: nothing is loaded, nothing allocated.

Trainer and engine live on one device, each with the base's weights. Bytes, with b the bytes of a base parameter:

    weights       base parameters * b, once for the trainer and once for the engine
    kv cache      engine.kv_cache_mib, or less: what vLLM is given
    adapter       adapter parameters * 4, in float32; gradients the same; AdamW's two moments twice that
    activations   tokens of a microbatch * b * (layers * (14 hidden + 8 attention width + top-k * 2 expert width), kept
                  for the backward pass, + top-k * (3 hidden + 4 expert width), within one layer); with checkpointing
                  layers * hidden and one layer's all
    logits        3 * optim.logits_mib at most: scores, their log-softmax and its gradient, in float32
    merge         merged delivery: the adapted parameters once more * b, and the largest of them twice in float32

Left out: the engine's own working memory, the allocator's waste, Python and its libraries (about 1.5 GiB of main
memory). Estimates: what the update took on models of 10 M and 50 M parameters on a CPU was 0.95 to 1.7 times
them, the allocator's waste included, and a test holds one within a factor of two (tests/rl/test_memory.py).
"""

from dataclasses import dataclass

import psutil
import torch
from transformers import AutoModelForCausalLM, PretrainedConfig

from doubleback.rl.config import LoraSettings, OptimConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.delivery import choose
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import DTYPES, is_cuda
from doubleback.rl.policy.families import family_of, num_experts

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes by what takes them."""

    num_parameters: int
    """Of the base, not in bytes."""
    num_adapter: int
    """Parameters of the adapter."""
    weights: int
    """Of one copy of the base."""
    kv_cache: int
    adapter: int
    """With its optimiser's moments."""
    gradients: int
    activations: int
    logits: int
    merge: int

    @property
    def resident(self) -> int:
        """What stays all the time: two copies of the base, the cache, the adapter with its moments."""
        return 2 * self.weights + self.kv_cache + self.adapter

    @property
    def update(self) -> int:
        """While the adapter is updated."""
        return self.resident + self.gradients + self.activations + self.logits

    @property
    def sync(self) -> int:
        """While the adapter is delivered."""
        return self.resident + self.merge

    @property
    def peak(self) -> int:
        """The largest of the phases."""
        return max(self.update, self.sync)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a recipe says that takes memory, beside the base."""

    dtype: str
    """Precision of the base."""
    lora: LoraSettings
    optim: OptimConfig
    engine: EngineConfig
    strategy: str
    """sync.strategy."""


def estimate(config: PretrainedConfig, plan: Plan, has_cuda: bool) -> Memory:
    """The formulas in the head of this file, for a base of this configuration. ConfigError where the plan cannot be."""
    optim = plan.optim
    with torch.device("meta"):
        base = AutoModelForCausalLM.from_config(config, dtype=DTYPES[plan.dtype])
        num_parameters = base.num_parameters()
        sizes = {name: parameter.numel() for name, parameter in base.named_parameters()}
        model = lora.attach(base, plan.lora, seed=0)
    targets = lora.targets(model)
    num_adapter = sum(part.num_parameters for part in lora.trained_parts(model))
    adapted = [sizes[target.parameter] for target in targets]
    delivery = choose(plan.strategy, targets, family_of(config), plan.engine.name, has_cuda)
    width = DTYPES[plan.dtype].itemsize
    return Memory(
        num_parameters=num_parameters,
        num_adapter=num_adapter,
        weights=num_parameters * width,
        kv_cache=plan.engine.kv_cache_mib << 20,
        adapter=num_adapter * 4 * 3,
        gradients=num_adapter * 4,
        activations=_activations(config, optim) * width,
        logits=3 * min(optim.logits_mib << 20, 4 * optim.microbatch_tokens * int(config.vocab_size)),
        merge=sum(adapted) * width + 2 * 4 * max(adapted) if delivery.name == "merged" else 0,
    )


def _activations(config: PretrainedConfig, optim: OptimConfig) -> int:
    """Numbers that are kept for the backward pass."""
    hidden, layers, tokens = int(config.hidden_size), int(config.num_hidden_layers), optim.microbatch_tokens
    heads = int(config.num_attention_heads)
    head_width = int(getattr(config, "head_dim", None) or hidden // heads)
    feed_forward = int(getattr(config, "moe_intermediate_size", None) or config.intermediate_size)
    active = int(getattr(config, "num_experts_per_tok", 1)) if num_experts(config) else 1
    kept = 14 * hidden + 8 * heads * head_width + active * 2 * feed_forward
    within = active * (3 * hidden + 4 * feed_forward)
    per_token = layers * hidden + kept if optim.gradient_checkpointing else layers * kept
    return tokens * (per_token + within)


def available() -> int:
    """Bytes that are free: of the CUDA device where the run will compute, else of main memory."""
    if is_cuda():
        free: int = torch.cuda.mem_get_info()[0]
        return free
    return int(psutil.virtual_memory().available)


def verdict(memory: Memory, free: int) -> str:
    """One sentence: whether it fits, and what to change where it does not."""
    figures = f"{memory.peak / GIB:.1f} of {free / GIB:.1f} GiB"
    if memory.peak <= free:
        return f"fits: {figures}"
    if memory.resident > free:
        return (
            f"does not fit: {figures}; two copies of the base, the cache and the adapter alone take "
            f"{memory.resident / GIB:.1f} GiB: take a smaller base, or lower engine.kv_cache_mib or lora.rank"
        )
    return f"does not fit: {figures}; lower optim.microbatch_tokens, or set optim.gradient_checkpointing=true"
