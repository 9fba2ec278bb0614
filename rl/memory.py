"""How much memory a recipe will take, estimated from the configuration alone: nothing is loaded, nothing allocated.

Trainer and engine live on one device, each with the base's weights. Bytes, with b the bytes of a base parameter:

    weights       base parameters * b, for the trainer, each engine (engine.processes) and worker (scale.trainers)
    kv cache      engine.kv_cache_mib; in main memory, which is taken when it is written, no more than can be filled:
                  max_num_seqs completions of model.max_length, of layers * 2 * key-value heads * head width * b a token
    adapter       adapter parameters * 4, in float32; gradients the same; AdamW's two moments twice that
    activations   tokens of a microbatch, or of a step where those are fewer, * b * (layers * (14 hidden + 8 attention
                  width + top-k * 2 expert width), kept for the backward pass, + top-k * (3 hidden + 4 expert width),
                  within one layer); with checkpointing layers * hidden and one layer's all
    logits        3 * optim.logits_mib at most: scores, their log-softmax and its gradient, in float32; of a base in
                  bfloat16 with its head in float32, the head's weight once more * 4
    merge         merged delivery: the adapted parameters once more * b, and the largest of them twice in float32

Left out: the engine's own working memory, the allocator's waste, Python and its libraries (about 1.5 GiB of main
memory). Estimates: what the update took on models of 10 M and 50 M parameters on a CPU was 0.95 to 1.7 times
them, the allocator's waste included, and a test holds one within a factor of two (tests/rl/test_memory.py). Sizes on
`auto` are those whose estimate fills no more than a share of the memory that base and adapter leave free (`sizes`).
"""

from bisect import bisect_right
from dataclasses import dataclass, replace

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig

from doubleback.rl.config import MOST_TOKENS, LoraSettings, OptimConfig
from doubleback.rl.engines.config import EngineConfig
from doubleback.rl.engines.delivery import choose
from doubleback.rl.policy import lora
from doubleback.rl.policy.base import DTYPES
from doubleback.rl.policy.cache import FEWEST_MIB, cache_mib, head_width
from doubleback.rl.policy.families import family_of, num_experts
from doubleback.rl.types import ModelSource

GIB = 1 << 30
SHARE = 0.5
"""Of the memory that base and adapter leave free, what sizes on `auto` may fill where nobody says more or less: the
estimate is of the arithmetic, and what a process takes has been up to 1.7 times it."""


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
    num_engines: int = 1
    num_trainers: int = 0
    """Gradient workers; the trainer itself is not counted."""
    num_in_experts: int = 0
    """Of the base's parameters, those in routed experts."""

    @property
    def learning(self) -> int:
        """The learner's alone: its base, the adapter with its moments, and what an update takes besides."""
        return self.weights + self.adapter + self.gradients + self.activations + self.logits

    @property
    def resident(self) -> int:
        """What stays all the time: everybody's base, the cache, the adapter with its moments and each worker's copy."""
        adapters = self.adapter + self.num_trainers * self.gradients
        return self.num_bases * self.weights + self.kv_cache + adapters

    @property
    def num_bases(self) -> int:
        """Copies of the base: of the trainer, of each engine, of each gradient worker."""
        return 1 + self.num_engines + self.num_trainers

    @property
    def update(self) -> int:
        """While the adapter is updated: one gradient is summed here, and where there are workers each has its own."""
        computed = self.gradients + self.activations + self.logits
        return self.resident + (self.gradients + self.num_trainers * computed if self.num_trainers else computed)

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
    max_length: int
    """Context in tokens."""
    step_tokens: int
    """What a step can hold of prompts and completions."""
    head_dtype: str = "float32"
    """Precision of the head."""
    num_trainers: int = 0
    """Gradient workers beside the trainer."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a run takes for optim.microbatch_tokens and engine.kv_cache_mib."""

    microbatch_tokens: int
    kv_cache_mib: int


def estimate(config: PretrainedConfig, plan: Plan, has_cuda: bool) -> Memory:
    """The formulas in the head of this file, for a base of this configuration. ConfigError where the plan cannot be."""
    with torch.device("meta"):
        base = AutoModelForCausalLM.from_config(config, dtype=DTYPES[plan.dtype])
        num_parameters = base.num_parameters()
        sizes = {name: parameter.numel() for name, parameter in base.named_parameters()}
        model = lora.attach(base, plan.lora, seed=0)
    targets = lora.targets(model)
    num_adapter = sum(part.num_parameters for part in lora.trained_parts(model))
    adapted = [sizes[target.parameter] for target in targets]
    delivery = choose(plan.strategy, targets, family_of(config), plan.engine.name, has_cuda, plan.dtype)
    width = DTYPES[plan.dtype].itemsize
    in_experts = [size for name, size in sizes.items() if name.endswith(family_of(config).experts)]
    return Memory(
        num_parameters=num_parameters,
        num_adapter=num_adapter,
        weights=num_parameters * width,
        kv_cache=_cache(config, plan, has_cuda) << 20,
        adapter=num_adapter * 4 * 3,
        gradients=num_adapter * 4,
        activations=_activations(config, plan) * width,
        logits=_logits(config, plan),
        merge=sum(adapted) * width + 2 * 4 * max(adapted) if delivery.name == "merged" else 0,
        num_engines=plan.engine.processes,
        num_in_experts=sum(in_experts),
        num_trainers=plan.num_trainers,
    )


def sizes(config: PretrainedConfig, plan: Plan, has_cuda: bool, free: int, share: float) -> Sizes:
    """What `auto` stands for where `free` bytes are free; numbers that the plan gives stay as they are.

    Of what base and adapter leave, `share` may be filled. The cache has half of that, a microbatch what the cache
    leaves, and the cache then what is left: no more than either has use for, and no less than one completion of full
    length needs.
    """
    width = DTYPES[plan.dtype].itemsize
    memory = estimate(config, plan, has_cuda)
    gradients = (1 + plan.num_trainers) * memory.gradients
    room = int(share * (free - memory.resident + memory.kv_cache - gradients))
    given = plan.engine.kv_cache_mib
    wanted = _wanted_cache(config, plan.engine, width, plan.max_length)
    beside = min(wanted << 20, room // 2) if given == "auto" else memory.kv_cache

    def update(tokens: int) -> int:
        """Bytes that microbatches of so many tokens take, however few a step has."""
        optim = plan.optim.model_copy(update={"microbatch_tokens": tokens})
        filled = replace(plan, optim=optim, step_tokens=tokens)
        # In each worker, or where there is none in the trainer.
        return max(1, plan.num_trainers) * (_activations(config, filled) * width + _logits(config, filled))

    tokens = plan.optim.most_tokens
    if plan.optim.microbatch_tokens == "auto":
        tokens = max(plan.max_length, bisect_right(range(1, MOST_TOKENS + 1), room - beside, key=update))
    merging = free - memory.sync + memory.kv_cache  # what a push leaves, of which nothing is uncertain
    left = min(room - update(min(tokens, plan.step_tokens)), merging)
    return Sizes(tokens, _cache_within(config, plan.engine, width, plan.max_length, left) if given == "auto" else given)


def sampling_cache(config: PretrainedConfig, engine: EngineConfig, model: ModelSource, free: int) -> int:
    """MiB for an engine beside a trainer that only scores, where `free` bytes are free: as given, or computed."""
    if engine.kv_cache_mib != "auto":
        return engine.kv_cache_mib
    width = DTYPES[model.dtype].itemsize
    with torch.device("meta"):
        weights = AutoModelForCausalLM.from_config(config, dtype=DTYPES[model.dtype]).num_parameters() * width
    left = free - (1 + engine.processes) * weights
    return _cache_within(config, engine, width, model.max_length, int(SHARE * left))


def _cache_within(config: PretrainedConfig, engine: EngineConfig, width: int, max_length: int, room: int) -> int:
    """MiB that the sequences can fill, of `room` bytes at most, but never less than one of each engine fills."""
    most, fewest = _wanted_cache(config, engine, width, max_length), cache_mib(config, width, 1, max_length)
    return max(min(most, room >> 20), engine.processes * max(fewest, 16))


def _wanted_cache(config: PretrainedConfig, engine: EngineConfig, width: int, max_length: int) -> int:
    """MiB that the engine's sequences can fill, and a few more where they are small."""
    return max(FEWEST_MIB, cache_mib(config, width, engine.max_num_seqs, max_length))


def _cache(config: PretrainedConfig, plan: Plan, has_cuda: bool) -> int:
    """MiB of the cache that are taken."""
    width, given = DTYPES[plan.dtype].itemsize, plan.engine.kv_cache_mib
    wanted = _wanted_cache(config, plan.engine, width, plan.max_length)
    if given == "auto":
        return wanted
    return given if has_cuda else min(given, wanted)


def _tokens(plan: Plan) -> int:
    """Tokens that one forward pass can hold."""
    return min(plan.optim.most_tokens, plan.step_tokens)


def _logits(config: PretrainedConfig, plan: Plan) -> int:
    """Bytes of float32 logits, what is computed of them, and the head's weight where it is cast for them."""
    cast = 4 * int(config.vocab_size) * int(config.hidden_size) if plan.head_dtype != plan.dtype else 0
    return cast + 3 * min(plan.optim.logits_mib << 20, 4 * _tokens(plan) * int(config.vocab_size))


def _activations(config: PretrainedConfig, plan: Plan) -> int:
    """Numbers that are kept for the backward pass."""
    hidden, layers, tokens = int(config.hidden_size), int(config.num_hidden_layers), _tokens(plan)
    attention = int(config.num_attention_heads) * head_width(config)
    feed_forward = int(getattr(config, "moe_intermediate_size", None) or config.intermediate_size)
    active = int(getattr(config, "num_experts_per_tok", 1)) if num_experts(config) else 1
    kept = 14 * hidden + 8 * attention + active * 2 * feed_forward
    within = active * (3 * hidden + 4 * feed_forward)
    per_token = layers * hidden + kept if plan.optim.gradient_checkpointing else layers * kept
    return tokens * (per_token + within)


def verdict(memory: Memory, free: int) -> str:
    """One sentence: whether it fits, and what to change where it does not."""
    figures = f"{memory.peak / GIB:.1f} of {free / GIB:.1f} GiB"
    if memory.peak <= free:
        return f"fits: {figures}"
    if memory.resident > free:
        return (
            f"does not fit: {figures}; {memory.num_bases} copies of the base, the cache and the adapter alone "
            f"take {memory.resident / GIB:.1f} GiB: take a smaller base, or lower engine.kv_cache_mib or lora.rank"
        )
    return f"does not fit: {figures}; lower optim.microbatch_tokens, or set optim.gradient_checkpointing=true"
